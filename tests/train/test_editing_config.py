# SPDX-License-Identifier: Apache-2.0
"""Configs of editing: the paper's defaults, the variants, clear errors."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from ng_jax import networks
from ng_jax.data import image_edits
from ng_jax.data import inr
from ng_jax.train import config as config_lib
from ng_jax.train import editing
from ng_jax.train import editing_config
from ng_jax.train import editing_data
from ng_jax.train import editing_variants
from tests.models import readers

_EDITORS = ('dws_edit', 'mlp_edit', 'nfn_edit', 'ng_gnn_edit', 'ng_t_edit')


@pytest.mark.parametrize('model', _EDITORS)
def test_default_config_is_the_papers(model):
  config = editing_config.default_config(model)
  editing_config.check(config)
  assert (config.batch_size, config.num_epochs) == (128, 200)
  assert (config.eval_every, config.schedule.warmup_steps) == (1_000, 10_000)
  assert config.optimizer.learning_rate == 1e-3
  assert config.optimizer.weight_decay == 5e-4
  assert (config.optimizer.clip_norm, config.edit) == (1.0, 'dilate')
  assert config.data.num_train == 55_000
  assert config.model.out_scale == 0.01
  assert config.out_of_domain.source == ''
  json.dumps(config.to_dict())


def test_default_models_are_the_papers():
  gnn, transformer, nfn, mlp = (
    editing_config.default_config(name).model
    for name in ('ng_gnn_edit', 'ng_t_edit', 'nfn_edit', 'mlp_edit')
  )
  assert (gnn.hidden_size, gnn.num_layers, gnn.fourier_size) == (128, 4, 0)
  assert (gnn.dropout, gnn.num_probes, gnn.reverse_edges) == (0.2, 0, True)
  assert not gnn.biases_from_start
  assert (transformer.node_size, transformer.edge_size) == (64, 32)
  assert (transformer.attention_size, transformer.num_heads) == (128, 4)
  assert (transformer.node_hidden_size, transformer.edge_hidden_size) == (
    128,
    64,
  )
  assert (transformer.fourier_size, transformer.fourier_scale) == (128, 3.0)
  assert (transformer.dropout, transformer.num_layers) == (0.3, 4)
  assert transformer.reverse_edges
  assert (nfn.channels, nfn.fourier_size) == ((128, 128, 128), 128)
  assert (mlp.hidden_size, mlp.num_layers) == (1000, 3)


def test_variants_and_modifiers():
  make = editing_variants.make_config
  for model in _EDITORS:
    for base in ('mnist', 'fashion_mnist', 'digits', 'two_cores', 'smoke'):
      editing_config.check(make(model, base + '+small'))
    assert make(model, 'digits').data.source == 'digits'
  assert make('ng_t_edit', 'paper+probes_64').model.num_probes == 64
  with pytest.raises(ValueError, match='this variant sets num_probes, which'):
    make('mlp_edit', 'paper+probes_64')
  others = [
    make('dws_edit', x).out_of_domain.source for x in ('mnist', 'paper')
  ]
  assert others == ['', '']
  for source, other in (
    ('mnist', 'fashion_mnist'),
    ('fashion_mnist', 'mnist'),
  ):
    config = make('dws_edit', source + '+out_of_domain')
    assert (config.data.source, config.out_of_domain.source) == (source, other)
  with pytest.raises(ValueError, match="for INRs of MNIST .* got 'digits'"):
    make('dws_edit', 'digits+out_of_domain')
  original = make('nfn_edit', 'mnist+original_recipe')
  assert (original.batch_size, original.num_steps) == (32, 50_000)
  assert (original.optimizer.learning_rate, original.optimizer.amsgrad) == (
    1e-3,
    False,
  )
  assert original.schedule.warmup_steps == 1_000
  with pytest.raises(ValueError, match="'digit'; did you mean 'digits'"):
    make('dws_edit', 'digit')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'model': {'name': 'ng_gnn'}},
      r"unknown model 'ng_gnn' .* expected one of \['dws_edit', .*the editors",
    ),
    ({'model': {'hiden_size': 3}}, "did you mean 'hidden_size'"),
    ({'edit': 'dilat'}, "unknown image edit 'dilat'"),
    ({'batch_size': 0}, 'config.batch_size must be positive, got 0'),
    ({'out_of_domain': {'num_test': -1}}, 'out_of_domain.num_test must not be'),
    ({'augmentation': {}}, "unknown config field 'augmentation'"),
  ],
)
def test_config_errors_come_before_anything_is_made(tmp_path, change, message):
  config = editing_variants.make_config('ng_gnn_edit', 'smoke')
  with config.unlocked():
    config.update(change)
  with pytest.raises(ValueError, match=message):
    editing.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_networks_out_of_the_domain_may_change_when_resuming():
  old = editing_config.default_config()
  new = editing_config.default_config()
  new.out_of_domain.source = 'fashion_mnist'
  new.out_of_domain.num_test = 3

  def check():
    config_lib.check_unchanged(
      new,
      config_lib.to_json_types(old),
      defaults=editing_config.default_config(),
      workdir='runs/x',
    )

  check()
  new.edit = 'contrast'
  with pytest.raises(ValueError, match="edit: 'dilate' in the checkpoint"):
    check()


@pytest.mark.parametrize('model', _EDITORS)
def test_two_cores_share_one_set_of_networks(model):
  config = editing_variants.make_config(model, 'two_cores+out_of_domain')
  data = config.data
  assert (data.source, data.num_train, data.num_steps) == (
    'mnist',
    8_000,
    2_000,
  )
  assert (data.num_validation, data.num_test) == (1_000, 2_000)
  other = editing_data.out_of_domain_config(config)
  assert other.source == 'fashion_mnist' and other.num_test == 500
  assert other.num_train + other.num_validation < 5
  plain = editing_variants.make_config(model, 'two_cores')
  assert plain.out_of_domain.source == ''
  assert plain.data.to_dict() == data.to_dict()


def test_data_of_networks_out_of_the_domain():
  config = editing_variants.make_config('mlp_edit', 'mnist+out_of_domain')
  config.data.image_dir = 'mnist_files'
  config.data.num_steps = 77
  config.out_of_domain.image_dir = 'fashion_files'
  config.out_of_domain.num_train = 2
  data = editing_data.out_of_domain_config(config)
  assert (data.source, data.image_dir) == ('fashion_mnist', 'fashion_files')
  assert (data.num_train, data.num_test, data.num_steps) == (2, 10_000, 77)
  assert config.data.source == 'mnist'


def make_split(num=3, shape=(4, 4, 1)):
  network = networks.Siren((2, 3, 3, shape[-1]))
  images = np.random.default_rng(0).integers(0, 17, (num, *shape))
  return inr.InrSplit(
    weights=readers.draw_weights(network.spec, num=num),
    labels=np.zeros(num, np.int32),
    images=images.astype(np.uint8),
    image_index=np.arange(num),
    view=np.zeros(num, np.int32),
    psnr=np.zeros(num, np.float32),
  )


def test_views_of_an_image_share_its_edit():
  part = make_split()
  views = dataclasses.replace(
    part, images=np.repeat(part.images, 2, axis=0), labels=np.zeros(6, int)
  )
  calls = []

  def edit(image):
    calls.append(1)
    return image_edits.dilate(image)

  options = {'max_value': 16, 'split': 'train'}
  found = editing_data.edit_images(views, edit, **options)
  assert len(calls) == 3
  expected = image_edits.apply(image_edits.dilate, views.images, max_value=16)
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
  ('images', 'got'),
  [
    (None, 'the test split has none'),
    (np.zeros((2, 4, 4, 1), np.uint8), r'split has \(2, 4, 4, 1\)'),
    (np.zeros((3, 4, 4), np.uint8), r'split has \(3, 4, 4\)'),
  ],
)
def test_networks_without_images_are_refused(images, got):
  part = dataclasses.replace(make_split(), images=images)
  with pytest.raises(ValueError, match=got) as error:
    editing_data.edit_images(
      part, image_edits.dilate, max_value=16, split='test'
    )
  assert 'editing needs the images that the networks' in str(error.value)


@pytest.mark.parametrize('other_shape', [(4, 5, 1), (4, 4, 3)])
def test_other_networks_or_images_out_of_the_domain_are_refused(
  monkeypatch, other_shape
):
  config = editing_variants.make_config('mlp_edit', 'mnist+out_of_domain')

  def load(data):
    shape = (4, 4, 1) if data.source == 'mnist' else other_shape
    return inr.InrDataset(
      path=pathlib.Path(),
      settings=inr.InrSettings(),
      card={},
      network=networks.Siren((2, 3, 3, shape[-1])),
      splits={'test': make_split(shape=shape)},
      class_names=('a',),
      max_value=16,
    )

  monkeypatch.setattr(editing_data.inr_sources, 'load', load)
  with pytest.raises(ValueError, match='must give the same networks and'):
    editing_data.load(config, image_edits.dilate)
