# SPDX-License-Identifier: Apache-2.0
"""One model reads INRs and CNNs and says what images they were trained on."""

import json
import shutil

import numpy as np
import pytest

from ng_jax.data import cnn_zoo
from ng_jax.data import combined
from ng_jax.data import inr
from ng_jax.data.cnn_zoo import variants as zoo_variants
from ng_jax.train import generalization
from ng_jax.train import generalization_variants
from tests import repeats

pytest.importorskip('tensorflow_datasets')

_INRS = inr.InrSettings(
  source='digits',
  num_train=8,
  num_validation=4,
  num_test=4,
  num_views=2,
  hidden_sizes=(4, 4),
  num_steps=20,
)


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
  """Two sets, and copies that claim to be of other images."""
  folder = tmp_path_factory.mktemp('sets')
  inr.make(_INRS, folder, name='inrs')
  zoo = cnn_zoo.ZooSettings(**zoo_variants.fields('smoke'))
  cnn_zoo.make(zoo, folder, name='cnns')
  for name in ('inrs', 'cnns'):
    shutil.copytree(folder / name, folder / f'{name}_other')
    file = folder / f'{name}_other' / 'card.json'
    card = json.loads(file.read_text())
    card['settings']['source'] = 'mnist'
    file.write_text(json.dumps(card))
  return folder


def _config(sets, model):
  config = generalization_variants.make_config(model, 'smoke')
  config.data.update(
    generalization_variants.make_config(model, 'combined').data
  )
  config.data.path = str(sets)
  config.loss = 'cross_entropy'
  config.model.pooling = 'mean'
  return config


def test_joins_all_networks_of_the_folder(sets):
  zoo = combined.read(sets)
  inrs, cnns = inr.load(sets / 'inrs'), cnn_zoo.load(sets / 'cnns')
  assert zoo.class_names == ('digits', 'mnist')
  for name, split in zoo.splits.items():
    count = len(inrs.splits[name]) + len(cnns.splits[name])
    assert len(split) == 2 * count
    np.testing.assert_array_equal(np.bincount(split.label), [count, count])
  # cnns, cnns_other, inrs, inrs_other, each with its own numbers of runs.
  train = zoo.splits['train']
  first = len(cnns.splits['train'])
  assert train.weights[0] is not None
  np.testing.assert_array_equal(train.label[:first], 0)
  np.testing.assert_array_equal(train.label[first : 2 * first], 1)
  assert not set(train.run[:first]) & set(train.run[first : 2 * first])
  kernel = train.weights[2 * first]['layer_1']['kernel']
  np.testing.assert_array_equal(
    kernel, inrs.splits['train'].weights['layer_1']['kernel'][0]
  )
  # The views of an image are one run.
  of_inrs = train.run[2 * first : 2 * first + len(inrs.splits['train'])]
  assert len(set(of_inrs)) == _INRS.num_train


@pytest.mark.slow
@pytest.mark.parametrize(
  'model', repeats.cases(['ng_gnn', 'ng_t'], quick=('ng_gnn',))
)
def test_trains_on_both_kinds_in_one_batch(sets, model, tmp_path):
  found = generalization.run(_config(sets, model), tmp_path)
  assert 0 <= found['test_accuracy'] <= 1
  assert np.isfinite(found['test_loss'])


def test_outputs_side_by_side_must_be_as_many(sets, tmp_path):
  config = _config(sets, 'ng_gnn')
  config.model.pooling = 'cat'
  with pytest.raises(ValueError, match=r"pooling of \['max', 'mean'\]"):
    generalization.run(config, tmp_path)


def test_one_source_is_refused(sets, tmp_path):
  shutil.copytree(sets / 'inrs', tmp_path / 'inrs')
  with pytest.raises(ValueError, match=r"at least two .* got 1 sets of \['dig"):
    combined.read(tmp_path)


@pytest.mark.parametrize('text', ['{', '{"settings": 3}', '[]'])
def test_a_damaged_card_is_named(sets, tmp_path, text):
  shutil.copytree(sets / 'inrs', tmp_path / 'inrs')
  (tmp_path / 'inrs' / 'card.json').write_text(text)
  with pytest.raises(ValueError, match=r'inrs must hold a finished data set'):
    combined.read(tmp_path)


def test_no_folder_is_named(tmp_path):
  with pytest.raises(ValueError, match='must be a folder of data sets'):
    combined.read(tmp_path / 'nowhere')
