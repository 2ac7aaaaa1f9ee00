# SPDX-License-Identifier: Apache-2.0
"""Tests CNN zoos from images to disk and back, kills and slices included."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import cnn_zoo
from ng_jax.data import images
from ng_jax.data import shards
from ng_jax.data.cnn_zoo import adam
from ng_jax.data.cnn_zoo import by_layers
from ng_jax.data.cnn_zoo import by_scan
from ng_jax.data.cnn_zoo import loading
from ng_jax.data.cnn_zoo import making
from ng_jax.data.cnn_zoo import pixels as pixels_lib
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.data.cnn_zoo import training

tfds = pytest.importorskip('tensorflow_datasets')

_SETTINGS = cnn_zoo.ZooSettings(
  source='digits',
  num_train_images=90,
  num_test_images=70,
  num_shapes=3,
  runs_per_shape=2,
  num_convolutions=(2, 3),
  channels=(2, 4),
  kernel_sizes=(3,),
  layer_activations=('relu', 'tanh'),
  learning_rates=(1e-2, 3e-2),
  min_epochs=2,
  max_epochs=3,
  checkpoint_epochs=(0, 1, 2, 3),
  batch_size=32,
  num_validation_runs=1,
  num_test_runs=2,
  seed=7,
  engine='layers',
)


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  return cnn_zoo.make_or_load(_SETTINGS, tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def chosen():
  return pixels_lib.choose(_SETTINGS, images.read('digits', split_seed=42))


def _runs(settings=_SETTINGS):
  return runs_lib.choose(settings, input_channels=1, num_classes=10)


def _assert_equal(one, other):
  for name in loading.SPLITS:
    a, b = one.splits[name], other.splits[name]
    assert a.names == b.names
    assert a.network_specs == b.network_specs
    np.testing.assert_array_equal(a.accuracy, b.accuracy)
    jax.tree.map(np.testing.assert_array_equal, a.weights, b.weights)


def test_splits_hold_whole_runs(zoo):
  runs = _runs()
  for name, count in (('train', 3), ('validation', 1), ('test', 2)):
    split = zoo.splits[name]
    members = [run for run in runs if run.split == name]
    assert len(members) == count
    expected = [
      f'run {run.number}, epoch {epoch}'
      for run in members
      for epoch in range(run.num_epochs + 1)
    ]
    assert list(split.names) == expected
    assert set(split.run) == {run.number for run in members}
  assert {run.num_epochs for run in runs} == {2, 3}


def test_accuracy_is_that_of_the_stored_weights(zoo):
  # All over again by `networks.Cnn.apply`, on images that are read anew.
  source = images.read('digits', split_seed=42)
  rows = {}
  for i, name in enumerate(('train', 'test')):
    rng = np.random.default_rng([42, i])
    count = getattr(_SETTINGS, f'num_{name}_images')
    rows[name] = rng.permutation(len(source[name].labels))[:count]
  train = source['train'].pixels[rows['train']].astype(np.float64)
  test = source['test'].pixels[rows['test']].astype(np.float64)
  labels = source['test'].labels[rows['test']]
  x = ((test - train.mean()) / train.std()).astype(np.float32)
  runs, checked = _runs(), 0
  for split in zoo.splits.values():
    for weights, number, accuracy in zip(
      split.weights, split.run, split.accuracy, strict=True
    ):
      if number in (0, 4):
        logits = runs[number].network.apply(weights, x)
        found = np.mean(np.argmax(logits, axis=1) == labels)
        assert found == pytest.approx(accuracy, abs=1e-6)
        checked += 1
  assert checked == sum(runs[n].num_epochs + 1 for n in (0, 4))


def test_training_lowers_the_loss(zoo, chosen):
  rows = runs_lib.in_batches(np.arange(90), 32)
  runs, split = _runs(), zoo.splits['train']
  losses = {}
  for weights, number in zip(split.weights, split.run, strict=True):
    stacked = jax.tree.map(lambda leaf: leaf[None], weights)
    found = by_layers.test((runs[number],), stacked, chosen.train, rows)
    losses.setdefault(int(number), []).append(found[1][0])
  assert all(loss[-1] < loss[0] - 0.5 for loss in losses.values()), losses


def test_runs_of_a_shape_differ(zoo):
  by_shape = {}
  for run in _runs():
    by_shape.setdefault(run.shape, []).append(run)
  for first, second in by_shape.values():
    assert first.network.channels == second.network.channels
    a, b = (
      run.network.init(runs_lib.initial_key(_SETTINGS, run))
      for run in (first, second)
    )
    kernels = a['conv_1']['kernel'], b['conv_1']['kernel']
    assert not np.allclose(*kernels)
    rows = [runs_lib.epoch_rows(_SETTINGS, r, 0, 90) for r in (first, second)]
    assert not np.array_equal(*rows)
    assert all(sorted(r[r >= 0]) == list(range(90)) for r in rows)


def test_first_checkpoints_are_the_initial_weights(zoo):
  runs = _runs()
  split = zoo.splits['train']
  for number in np.flatnonzero(split.epoch == 0):
    run = runs[split.run[number]]
    drawn = run.network.init(runs_lib.initial_key(_SETTINGS, run))
    jax.tree.map(np.testing.assert_array_equal, split.weights[number], drawn)


def test_tfds_reads_it_alone(zoo):
  builder = tfds.builder_from_directory(zoo.path / 'cnn_set' / '1.0.0')
  example = builder.as_data_source('test')[1]
  split = zoo.splits['test']
  network = networks.Cnn(**json.loads(example['architecture']))
  assert network.spec == split.network_specs[1]
  parts = specs.leaf_arrays(split.weights[1])
  np.testing.assert_array_equal(
    example['weights'],
    np.concatenate([parts[leaf.path].ravel() for leaf in network.spec.leaves]),
  )
  assert example['test_accuracy'] == split.accuracy[1]
  p = float(example['test_accuracy'])
  assert example['standard_error'] == pytest.approx(np.sqrt(p * (1 - p) / 70))


def test_card_says_what_it_is(zoo):
  card = cnn_zoo.read_card(zoo.path)
  assert card['settings'] == _SETTINGS.to_dict()
  assert card['num_runs'] == {'train': 3, 'validation': 1, 'test': 2}
  total = sum(card['num_checkpoints'].values())
  assert total == sum(run.num_epochs + 1 for run in _runs())
  assert sum(card['accuracy']['histogram']) == total
  assert card['num_diverged'] == 0
  text = (zoo.path / 'README.md').read_text()
  for part in ('| train | 3 |', '70 held-out images', "'layers'", 'median'):
    assert part in text


def test_finished_zoos_are_reused(zoo, monkeypatch):
  monkeypatch.setattr(images, 'read', None)
  assert cnn_zoo.make(_SETTINGS, zoo.path.parent) == zoo.path


def _count_steps(monkeypatch):
  """Counts the optimizer steps of a run, which must not be made twice."""
  made = []
  step = by_layers._step

  def counted(network, layers, batch, hyper):
    made.append(int(hyper.step))
    return step(network, layers, batch, hyper)

  monkeypatch.setattr(by_layers, '_step', counted)
  return made


@pytest.mark.parametrize('num_writes', [2, 5])
def test_a_killed_run_continues_bit_for_bit(
  zoo, monkeypatch, tmp_path, num_writes
):
  made = _count_steps(monkeypatch)
  written = []
  write = shards.write

  def killed(path, arrays):
    if len(written) == num_writes:
      raise KeyboardInterrupt
    write(path, arrays)
    written.append(path.name)

  with monkeypatch.context() as patch:
    patch.setattr(shards, 'write', killed)
    with pytest.raises(KeyboardInterrupt):
      cnn_zoo.make(_SETTINGS, tmp_path)
  steps_before = len(made)
  with pytest.raises(ValueError, match='must hold a finished CNN zoo'):
    cnn_zoo.load(tmp_path / _SETTINGS.folder_name())
  resumed = cnn_zoo.make_or_load(_SETTINGS, tmp_path)
  _assert_equal(zoo, resumed)
  # Three steps an epoch; what was on its way to the disk is made again.
  expected = sum(3 * run.num_epochs for run in _runs())
  assert steps_before > 0
  assert len(made) == expected + 3
  assert not (resumed.path / 'runs').exists()


def test_two_processes_make_what_one_does(zoo, monkeypatch, tmp_path):
  made = _count_steps(monkeypatch)
  path = cnn_zoo.make(_SETTINGS, tmp_path, process_index=1, num_processes=2)
  assert cnn_zoo.read_card(path) is None
  files = sorted(p.name for p in (path / 'runs').iterdir())
  assert files == [f'unit_{n:06d}.safetensors' for n in (1, 3, 5)]
  cnn_zoo.make(_SETTINGS, tmp_path, process_index=0, num_processes=2)
  _assert_equal(zoo, cnn_zoo.load(path))
  assert len(made) == sum(3 * run.num_epochs for run in _runs())


def test_a_slower_process_leaves_the_finished_zoo_alone(zoo, tmp_path):
  path = tmp_path / zoo.path.name
  shutil.copytree(zoo.path, path)
  before = (path / 'card.json').read_bytes()
  # It saw all units, and the other one has finished and cleaned up since.
  paths = [path / 'runs' / 'unit_000000.safetensors']
  making._assemble(path, _SETTINGS, _runs(), paths, zoo.card['images'])
  assert (path / 'card.json').read_bytes() == before
  _assert_equal(zoo, cnn_zoo.load(path))


def test_a_process_must_be_one_of_them(tmp_path):
  with pytest.raises(ValueError, match='process_index=2 and num_processes=2'):
    cnn_zoo.make(_SETTINGS, tmp_path, process_index=2, num_processes=2)


def _train_both(chosen, unit):
  weights = [
    run.network.init(runs_lib.initial_key(_SETTINGS, run)) for run in unit
  ]
  state = adam.init(jax.tree.map(lambda *x: np.stack(x), *weights))
  rows = np.stack([runs_lib.epoch_rows(_SETTINGS, r, 0, 90) for r in unit])
  together = by_scan.train(unit, state, chosen.train, rows, 0)
  alone = [
    by_layers.train(
      (run,),
      jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], state),
      chosen.train,
      rows[i : i + 1],
      0,
    )
    for i, run in enumerate(unit)
  ]
  return together, jax.tree.map(lambda *x: np.concatenate(x), *alone)


def test_both_engines_train_the_same_networks(chosen):
  shape = networks.Cnn((1, 4, 2, 4), (3, 5, 3))
  variants = [
    {'layer_activations': ('relu', 'tanh', 'none'), 'residual': (-1, -1, 0)},
    {'layer_activations': ('gelu', 'relu', 'tanh'), 'residual': (-1, -1, -1)},
  ]
  unit = [
    dataclasses.replace(
      _runs()[i],
      network=dataclasses.replace(shape, **variant),
      learning_rate=rate,
      weight_decay=0.1 * i,
    )
    for i, (variant, rate) in enumerate(
      zip(variants, (1e-2, 3e-3), strict=True)
    )
  ]
  together, alone = _train_both(chosen, unit)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6),
    together,
    alone,
  )
  rows = runs_lib.in_batches(np.arange(70), 32)
  counted, losses = by_scan.test(unit, together['weights'], chosen.test, rows)
  for i, run in enumerate(unit):
    weights = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], together)
    found = by_layers.test((run,), weights['weights'], chosen.test, rows)
    assert found[0][0] == counted[i]
    assert found[1][0] == pytest.approx(losses[i], rel=1e-5)


def test_a_step_is_that_of_autodiff_and_adamw(chosen):
  import optax

  network = networks.Cnn(
    (1, 2, 4, 2, 4),
    (3, 3, 5, 3),
    ('tanh', 'relu', 'sigmoid', 'none'),
    residual=(-1, -1, 0, 0),
  )
  run = dataclasses.replace(
    _runs()[0], network=network, learning_rate=1e-2, weight_decay=0.1
  )
  weights = network.init(jax.random.key(3))
  rows = np.array([[[3, 1, 4, -1]]], np.int32)
  state = adam.init(jax.tree.map(lambda leaf: leaf[None], weights))
  found = by_layers.train((run,), state, chosen.train, rows, 0)
  x, labels, _ = pixels_lib.take(chosen.train, rows[0, 0, :3])

  def loss(weights):
    logits = network.apply(weights, x)
    return optax.losses.softmax_cross_entropy_with_integer_labels(
      logits, labels
    ).mean()

  optimizer = optax.adamw(1e-2, weight_decay=0.1)
  updates, _ = optimizer.update(
    jax.grad(loss)(weights), optimizer.init(weights), weights
  )
  expected = optax.apply_updates(weights, updates)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=1e-6),
    found['weights'],
    expected,
  )


def test_units_of_the_scan_are_shapes():
  runs = _runs()
  units = training.units(runs, 'scan')
  assert [[run.number for run in unit] for unit in units] == [
    [0, 1],
    [2, 3],
    [4, 5],
  ]
  assert training.choose_engine('auto') == 'layers'


@pytest.mark.allow_nans
def test_diverged_checkpoints_are_left_out_and_counted(tmp_path):
  settings = dataclasses.replace(
    _SETTINGS,
    num_shapes=2,
    layer_activations=('none',),
    learning_rates=(1e30,),
    min_epochs=1,
    max_epochs=1,
    num_test_runs=1,
  )
  zoo = cnn_zoo.make_or_load(settings, tmp_path)
  assert zoo.card['num_diverged'] == 4
  assert all(set(split.epoch) == {0} for split in zoo.splits.values())


def test_areas_are_averaged():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
  found = pixels_lib.average_areas(pixels, 3)
  assert found.shape == (2, 3, 3, 3)
  np.testing.assert_allclose(
    found[1, 2, 0], pixels[1, 4:, :2].reshape(-1, 3).mean(axis=0), rtol=1e-6
  )
  assert pixels_lib.average_areas(pixels, 0) is pixels
  with pytest.raises(ValueError, match='image_size must divide .* 6, got 4'):
    pixels_lib.average_areas(pixels, 4)


def test_refuses_more_images_than_there_are(tmp_path):
  settings = dataclasses.replace(_SETTINGS, num_test_images=400)
  with pytest.raises(ValueError, match='num_test_images must be at most 359'):
    cnn_zoo.make(settings, tmp_path)


def test_refuses_a_folder_with_other_settings(zoo):
  other = dataclasses.replace(_SETTINGS, batch_size=16)
  with pytest.raises(
    ValueError,
    match=r'holds a CNN zoo with other settings:\n  batch_size: 32 there, 16 a',
  ):
    cnn_zoo.make(other, zoo.path.parent, name=zoo.path.name)


def test_a_checkpoint_must_fit_its_architecture(zoo):
  spec = zoo.splits['test'].network_specs[0]
  leaves = specs.leaf_arrays(zoo.splits['test'].weights[0])
  vector = making.join(spec, leaves)
  with pytest.raises(
    ValueError,
    match=rf'run 5, epoch 1 must have the {len(vector)} weights of its arch',
  ):
    loading.cut(spec, vector[:-1], name='run 5, epoch 1')


@pytest.mark.parametrize('wrong', [-0.1, 1.5, np.nan])
def test_accuracies_are_fractions(zoo, wrong):
  split = zoo.splits['validation']
  accuracy = split.accuracy.copy()
  accuracy[1] = wrong
  with pytest.raises(
    ValueError, match=rf'between 0 and 1, but {split.names[1]} has {wrong}'
  ):
    dataclasses.replace(split, accuracy=accuracy)


def test_runs_are_in_one_split(zoo):
  splits = {**zoo.splits, 'validation': zoo.splits['test']}
  with pytest.raises(ValueError, match='validation and test of .* share the r'):
    dataclasses.replace(zoo, splits=splits)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'source': 'imagenet'}, "unknown source 'imagenet'; expected one of"),
    ({'engine': 'fast'}, "unknown engine 'fast'; expected one of"),
    ({'num_shapes': 0}, 'num_shapes must be above 0, got 0'),
    ({'channels': ()}, r'channels must hold at least one choice, got \(\)'),
    ({'learning_rates': (0.0,)}, 'learning_rates must all be above 0'),
    ({'kernel_sizes': (3, 4)}, r'kernel_sizes must all be odd .* \(3, 4\)'),
    (
      {'layer_activations': ('relu', 'swish')},
      r"unknown layer_activations \['swish'\]; expected some of",
    ),
    ({'weight_decays': (-1.0,)}, 'weight_decays must not be negative'),
    ({'image_size': -1}, 'image_size must not be negative, got -1'),
    ({'num_test_runs': 5}, r'must leave runs to train on, got 1 \+ 5 of 6'),
    (
      {'num_shapes': 13, 'distinct_shapes': True},
      'num_shapes must be at most 12, the number of different shapes',
    ),
    ({'max_epochs': 1}, 'max_epochs must be at least min_epochs, got 1 and 2'),
    (
      {'checkpoint_epochs': (9,)},
      'every run must be stored at least once, but none of',
    ),
  ],
)
def test_refuses_bad_settings(fields, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(_SETTINGS, **fields)


def test_shapes_may_be_distinct():
  settings = dataclasses.replace(
    _SETTINGS, num_shapes=12, runs_per_shape=1, distinct_shapes=True
  )
  runs = _runs(settings)
  assert len({run.network.channels for run in runs}) == 12
  # More shapes leave the first ones as they are.
  fewer = _runs(dataclasses.replace(settings, num_shapes=8))
  assert [run.network for run in fewer] == [run.network for run in runs[:8]]
