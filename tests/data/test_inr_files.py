# SPDX-License-Identifier: Apache-2.0
"""Readers of the published INRs, on small trees in exactly their formats."""

import json
import shutil

import jax
import ml_collections
import numpy as np
import pytest

from ng_jax.data import inr_files
from ng_jax.data import published
from ng_jax.train import inr_sources
from tests.data import torch_trees

_TRAIN, _TEST = torch_trees.LABELS['train'], torch_trees.LABELS['test']
_ORDERS = {'train': [0, 2, 4, 6, 1, 3], 'validation': [7, 5],
           'test': [3, 2, 1, 0]}  # fmt: skip


@pytest.fixture(autouse=True)
def torch_or_its_stand_in(monkeypatch):
  torch_trees.stand_in(monkeypatch)


def _settings(source, **options):
  return published.PublishedSettings(source=source, **options)


def _image_dir(tmp_path):
  torch_trees.write_images(tmp_path / 'images')
  return str(tmp_path / 'images')


def _check_layers(weights, row, arrays, name):
  """Kernels are [in, out], in the order of the layers."""
  for i in range(3):
    layer, key = weights[f'layer_{i + 1}'], name.format(i)
    np.testing.assert_array_equal(
      layer['kernel'][row].T, arrays[f'{key}.weight']
    )
    np.testing.assert_array_equal(layer['bias'][row], arrays[f'{key}.bias'])


def _check_dws(dataset):
  assert dataset.network.variant == 'dws'
  assert dataset.network.layer_sizes == (2, 32, 32, 1)
  for name, order in _ORDERS.items():
    split = dataset.split(name)
    labels = _TEST if name == 'test' else _TRAIN
    assert split.image_index.tolist() == order
    assert split.labels.tolist() == [labels[index] for index in order]
    for row, index in enumerate(order):
      seed = index + 100 * (name == 'test')
      arrays = torch_trees.state_dict(seed)
      _check_layers(split.weights, row, arrays, 'seq.{}')


def test_mnist(tmp_path):
  torch_trees.write_mnist(tmp_path)
  dataset = inr_files.read(_settings('dws_mnist'), tmp_path)
  _check_dws(dataset)
  assert dataset.class_names == tuple('0123456789')
  assert dataset.split('test').images is dataset.split('test').psnr is None


@pytest.mark.parametrize('processed', [True, False])
def test_fashion_mnist(tmp_path, processed):
  torch_trees.write_fashion_mnist(tmp_path, processed=processed)
  dataset = inr_files.read(_settings('dws_fashion_mnist'), tmp_path)
  _check_dws(dataset)
  assert dataset.class_names[9] == 'Ankle boot'


@pytest.mark.parametrize('source', ['nfn_mnist', 'nfn_cifar10'])
def test_sirens(tmp_path, source):
  num_channels = 3 if source == 'nfn_cifar10' else 1
  torch_trees.write_sirens(tmp_path / 'wts', num_channels=num_channels)
  dataset = inr_files.read(
    _settings(source, split_points=(7, 9)), tmp_path / 'wts'
  )
  assert dataset.network.variant == 'nfn'
  assert dataset.network.layer_sizes == (2, 32, 32, num_channels)
  labels = _TRAIN + _TEST
  for name, indices in (
    *(('train', range(7)), ('validation', range(7, 9))),
    ('test', range(9, 12)),
  ):
    split = dataset.split(name)
    assert split.image_index.tolist() == list(indices)
    assert split.labels.tolist() == [labels[index] for index in indices]
    arrays = torch_trees.state_dict(indices[1], num_channels)
    arrays = {f'net.{key[4]}.linear{key[5:]}': x for key, x in arrays.items()}
    _check_layers(split.weights, 1, arrays, 'net.{}.linear')


@pytest.mark.parametrize('source', ['dws_mnist', 'nfn_mnist'])
def test_images_and_how_well_they_are_drawn(tmp_path, source):
  torch_trees.write_mnist(tmp_path)
  torch_trees.write_sirens(tmp_path)
  settings = _settings(source, split_points=(6, 8))
  dataset = inr_files.read(settings, tmp_path, image_dir=_image_dir(tmp_path))
  raw = {
    name: np.frombuffer(
      (tmp_path / 'images' / f'{name}-images-idx3-ubyte').read_bytes()[16:],
      np.uint8,
    ).reshape(-1, 28, 28, 1)
    for name in ('train', 't10k')
  }
  test = dataset.split('test')
  # Validation images are training images; SIRENs number both together.
  order = _ORDERS['test'] if source == 'dws_mnist' else range(4)
  np.testing.assert_array_equal(test.images, raw['t10k'][list(order)])
  order = _ORDERS['validation'] if source == 'dws_mnist' else (6, 7)
  np.testing.assert_array_equal(
    dataset.split('validation').images, raw['train'][list(order)]
  )
  drawn = dataset.network.render_pixels(
    jax.tree.map(np.asarray, test.weights), (28, 28)
  )
  error = np.mean((np.asarray(drawn) - test.images / 255) ** 2, axis=(1, 2, 3))
  np.testing.assert_allclose(test.psnr, -10 * np.log10(error), atol=1e-3)


def test_images_of_another_set_are_refused(tmp_path):
  torch_trees.write_mnist(tmp_path)
  image_dir = _image_dir(tmp_path)
  path = tmp_path / 'images' / 't10k-labels-idx1-ubyte'
  path.write_bytes(path.read_bytes()[:-1] + b'\x05')
  with pytest.raises(
    ValueError,
    match="images of 'mnist' must be those of the networks, but .*testing_8_3.*"
    'test image 3 with the label 8, and there it has 5',
  ):
    inr_files.read(_settings('dws_mnist'), tmp_path, image_dir=image_dir)


def test_all_missing_files_are_listed(tmp_path):
  paths = torch_trees.write_mnist(tmp_path)
  gone = [paths['train'][2], paths['val'][0], paths['test'][3]]
  for path in gone:
    (tmp_path / path).unlink()
  with pytest.raises(ValueError, match='splits name 3 files that are') as info:
    inr_files.read(_settings('dws_mnist'), tmp_path)
  assert [path in str(info.value) for path in gone] == [True] * 3


def _edit_splits(tmp_path, edit):
  file = tmp_path / 'mnist_splits.json'
  table = json.loads(file.read_text())
  edit(table)
  file.write_text(json.dumps(table))


@pytest.mark.parametrize(
  ('edit', 'message'),
  [
    (lambda x: x.pop('val'), "must have the entries 'train', 'val' and 'test'"),
    (lambda x: x['val']['label'].pop(), "list.*'2 paths and 1 labels'"),
    (
      lambda x: x['val'].update(label=['6', '6']),
      'the label 6, but by the name of its folder it is 9',
    ),
    (
      lambda x: x.update(val=x['test']),
      r'every file must be in one split, once, but 4 of .*again:\n  mnist-inrs',
    ),
    (
      lambda x: x['val']['path'].__setitem__(0, 'elsewhere/net.pth'),
      "must name files mnist-inrs/.*, got 'elsewhere/net.pth'",
    ),
    (lambda x: x.update(val={'path': [], 'label': []}), r"\['validation'\] ha"),
  ],
)
def test_what_splits_may_not_say(tmp_path, edit, message):
  torch_trees.write_mnist(tmp_path)
  _edit_splits(tmp_path, edit)
  with pytest.raises(ValueError, match=message):
    inr_files.read(_settings('dws_mnist'), tmp_path)


def test_a_split_file_may_lie_elsewhere(tmp_path):
  torch_trees.write_mnist(tmp_path)
  other = shutil.move(tmp_path / 'mnist_splits.json', tmp_path / 'mine.json')
  settings = _settings('dws_mnist')
  _check_dws(inr_files.read(settings, tmp_path, split_file=str(other)))
  with pytest.raises(
    ValueError, match='mnist_splits.json must have .* another'
  ):
    inr_files.read(settings, tmp_path)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      lambda x: x.pop('seq.1.bias'),
      'be the state_dict of a SIREN .*the keys ar',
    ),
    (
      lambda x: x.update(extra=x['seq.0.bias']),
      "'extra' is neither weight nor",
    ),
    (
      lambda x: x.update({'seq.1.weight': x['seq.1.weight'][:16]}),
      'be the state_dict of a SIREN .* layer_2/kernel must have shape',
    ),
    (
      lambda x: x['seq.2.bias'].__setitem__(0, np.nan),
      'its weights are not finite',
    ),
  ],
)
def test_files_of_other_networks_are_named(tmp_path, change, message):
  path = torch_trees.write_mnist(tmp_path)['val'][1]
  arrays = torch_trees.state_dict(0)
  change(arrays)
  torch_trees.save(tmp_path / path, arrays)
  with pytest.raises(ValueError, match=message) as info:
    inr_files.read(_settings('dws_mnist'), tmp_path)
  assert f'{path} must be the state_dict' in str(info.value)


def test_labels_of_file_and_splits_must_agree(tmp_path):
  torch_trees.write_fashion_mnist(tmp_path, processed=True)
  settings = _settings('dws_fashion_mnist')
  path = tmp_path / 'fmnist_inrs' / 'train' / 'model_4.pth'
  torch_trees.save(path, torch_trees.state_dict(4), label=6)
  with pytest.raises(
    ValueError, match='model_4.pth has the label 6, but the splits say 5'
  ):
    inr_files.read(settings, tmp_path)
  (tmp_path / 'fmnist_splits.json').unlink()
  torch_trees.write_fashion_mnist(tmp_path, processed=False)
  torch_trees.save(path, torch_trees.state_dict(4))
  with pytest.raises(
    ValueError, match='model_4.pth must have a label .* got -1'
  ):
    inr_files.read(settings, tmp_path)


def test_what_the_tree_of_sirens_may_not_be(tmp_path):
  settings = _settings('nfn_mnist', split_points=(6, 8))
  with pytest.raises(
    ValueError, match='must hold files randinit_smaller_.*none'
  ):
    inr_files.read(settings, tmp_path)
  torch_trees.write_sirens(tmp_path)
  with pytest.raises(
    ValueError, match=r"have files, but \['validation', 'test"
  ):
    inr_files.read(_settings('nfn_mnist'), tmp_path)
  for index in (3, 8):
    next(tmp_path.glob(f'randinit_smaller_*/net{index}.pth')).unlink()
  with pytest.raises(ValueError, match='but 2 are missing: net3.pth, net8.pth'):
    inr_files.read(settings, tmp_path)
  far = next(tmp_path.glob('randinit_smaller_*/net5.pth'))
  far.with_name('net999999999.pth').touch()
  with pytest.raises(
    ValueError, match=r'but 999,999,989 are missing: net3.pth, .*, \.\.\.; fe'
  ):
    inr_files.read(settings, tmp_path)
  far.with_name('net999999999.pth').unlink()
  source = next(tmp_path.glob('randinit_smaller_*/net5.pth'))
  shutil.copy(source, source.parent.with_name(f'{source.parent.name[:-2]}8s'))
  with pytest.raises(ValueError, match=r'share one:\n  .*net5.pth\n  .*net5'):
    inr_files.read(settings, tmp_path)


def test_kinds_of_data(tmp_path):
  torch_trees.write_mnist(tmp_path)
  fields = ml_collections.ConfigDict(inr_sources.default_fields())
  fields.kind = 'dws_mnist'
  with pytest.raises(ValueError, match='config.data.path must name the files'):
    inr_sources.load(fields)
  fields.path = str(tmp_path)
  _check_dws(inr_sources.load(fields))
  assert inr_sources.title(fields) == 'dws_mnist'
  fields.kind = 'imagenet'
  with pytest.raises(
    ValueError, match=r"unknown kind of data 'imagenet'; .*'made', 'dws_fashion"
  ):
    inr_sources.load(fields)


def test_unknown_sets_are_refused(tmp_path):
  with pytest.raises(ValueError, match="unknown source 'svhn'; .*'nfn_mnist'"):
    inr_files.read(_settings('svhn'), tmp_path)
  with pytest.raises(ValueError, match=r'split_points must be .* got \(1,\)'):
    _settings('nfn_mnist', split_points=(1,))
