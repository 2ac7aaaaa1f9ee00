# SPDX-License-Identifier: Apache-2.0
"""The experiments on INRs, on published sets, as they are and converted."""

import pytest

from ng_jax.data import conversion
from ng_jax.data import image_edits
from ng_jax.data import published
from ng_jax.train import classification
from ng_jax.train import classification_variants
from ng_jax.train import editing_data
from ng_jax.train import editing_variants
from tests import repeats
from tests.data import torch_trees

pytest.importorskip('tensorflow_datasets')


@pytest.fixture
def files(tmp_path, monkeypatch):
  torch_trees.stand_in(monkeypatch)
  torch_trees.write_mnist(tmp_path / 'files')
  torch_trees.write_fashion_mnist(tmp_path / 'files', processed=True)
  torch_trees.write_images(tmp_path / 'images')
  return tmp_path


def _convert(files, source, *, image_dir=''):
  return conversion.convert(
    published.PublishedSettings(source=source),
    files / 'data',
    source_dir=files / 'files',
    image_dir=image_dir,
  )


@pytest.mark.parametrize(
  'converted', repeats.cases([True, False], repeats=[False])
)
def test_classification(files, converted):
  config = classification_variants.make_config('mlp', 'smoke')
  config.num_steps, config.eval_every, config.log_every = 2, 2, 2
  if converted:
    config.data.path = str(_convert(files, 'dws_mnist'))
  else:
    config.data.kind = 'dws_mnist'
    config.data.path = str(files / 'files')
    config.data.image_dir = str(files / 'images')
  found = classification.run(config, files / 'run')
  assert found['step'] == 2 and 0 <= found['test_accuracy'] <= 1
  pictures = {path.stem for path in (files / 'run' / 'pictures').iterdir()}
  # Without images there is nothing to hold the renderings against.
  assert ('inr_renderings' in pictures) == (not converted)
  assert 'confusion_matrix' in pictures


def test_editing(files):
  config = editing_variants.make_config('mlp_edit', 'smoke')
  image_dir = str(files / 'images')
  config.data.path = str(_convert(files, 'dws_mnist', image_dir=image_dir))
  config.out_of_domain.kind = 'dws_fashion_mnist'
  config.out_of_domain.path = str(files / 'files')
  config.out_of_domain.image_dir = image_dir
  found = editing_data.load(config, image_edits.dilate)
  sizes = {name: len(x) for name, x in found.targets.items()}
  assert sizes == {'train': 6, 'validation': 2, 'test': 4, 'out_of_domain': 4}
  assert (found.targets['test'] >= found.parts['test'].images).all()


def test_editing_needs_images(files):
  config = editing_variants.make_config('mlp_edit', 'smoke')
  config.data.path = str(_convert(files, 'dws_mnist'))
  with pytest.raises(
    ValueError, match='needs the images .* has none; .*image_d'
  ):
    editing_data.load(config, image_edits.dilate)


def test_what_is_out_of_domain_is_made_unless_it_has_a_path():
  config = editing_variants.make_config('mlp_edit', 'mnist+out_of_domain')
  config.data.kind, config.data.path = 'dws_mnist', 'files'
  data = editing_data.out_of_domain_config(config)
  assert (data.kind, data.path, data.source) == ('made', '', 'fashion_mnist')
  config.out_of_domain.path = 'others'
  data = editing_data.out_of_domain_config(config)
  assert (data.kind, data.path) == ('dws_mnist', 'others')
