# SPDX-License-Identifier: Apache-2.0
"""Whole editing runs in this process: learning, resuming, what is written."""

import csv
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from ng_jax import specs
from ng_jax.data import image_edits
from ng_jax.train import editing
from ng_jax.train import editing_variants
from ng_jax.train import logging as logging_lib
from tests.data import publisher_files
from tests.train import numpy_siren
from tests.train import runs

pytestmark = pytest.mark.usefixtures('compilation_cache')


@pytest.fixture
def config(data_dir):
  config = editing_variants.make_config('ng_gnn_edit', 'smoke')
  config.data.data_dir = data_dir
  config.model.reverse_edges = False
  config.optimizer.learning_rate = 1e-2
  return config


@pytest.mark.repeated
def test_resumed_run_equals_uninterrupted_to_the_bit(config, tmp_path):
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  expected = editing.run(config, whole)
  config.num_steps = 3
  editing.run(config, parts)
  config.num_steps = 6
  runs.assert_equal_metrics(editing.run(config, parts), expected)
  like = jax.eval_shape(editing.prepare(config).init)
  states = [
    runs.latest_state(x, like, metric='validation_mse') for x in (whole, parts)
  ]
  runs.assert_equal_states(*states)
  assert runs.untimed_lines(whole) == runs.untimed_lines(parts)
  last = logging_lib.read_metrics(whole / 'metrics.jsonl')[-1]
  assert last == expected
  written = json.loads((whole / 'config.json').read_text())
  assert (written['edit'], written['model']['name']) == (
    'dilate',
    'ng_gnn_edit',
  )
  assert editing.run(config, whole) == expected
  with pytest.raises(ValueError, match="edit: 'dilate' in the checkpoint, '"):
    editing.run(config, whole, image_edit=lambda image: 255 - image)


@pytest.mark.slow
def test_learning_beats_no_edit_on_new_networks(config, tmp_path):
  config.num_steps, config.eval_every, config.log_every = 60, 15, 15
  last = editing.run(config, tmp_path)
  lines = logging_lib.read_metrics(tmp_path / 'metrics.jsonl')
  losses = [line['train_loss'] for line in lines]
  assert losses[-1] < 0.8 * losses[0]
  assert last['test_mse'] < 0.8 * last['no_edit_mse']
  errors = {x['step']: x['validation_mse'] for x in lines}
  assert last['best_validation_mse'] == min(errors.values())
  assert errors[last['best_step']] == last['best_validation_mse']
  pictures = {path.name for path in (tmp_path / 'pictures').iterdir()}
  assert pictures == {'learning_curves.png', 'edited.png'}
  check_evaluation(config, tmp_path, last)


def check_evaluation(config, workdir, last):
  """The best checkpoint gives the reported errors, also in NumPy."""
  found = editing.evaluate(config, workdir)
  written = json.loads((workdir / 'evaluation.json').read_text())
  assert written == found
  assert found['step'] == last['best_step']
  assert found['validation_mse'] == pytest.approx(last['best_validation_mse'])
  for name in ('test_mse', 'no_edit_mse'):
    assert found[name] == pytest.approx(last[name], rel=1e-6)
  model = runs.load_exported(editing.export(config, workdir), config, found)
  assert model.details['task'] == 'editing of INRs: dilate'
  path = editing.edit(config, workdir)
  edited = specs.from_leaf_arrays(safetensors.numpy.load_file(path))
  inputs = editing.prepare(config).dataset
  part = inputs.split('test')
  targets = image_edits.apply(image_edits.dilate, part.images, max_value=16)
  errors = numpy_siren.squared_errors(inputs.network, edited, targets)
  assert errors.mean() == pytest.approx(last['test_mse'], rel=1e-4)
  before = numpy_siren.squared_errors(inputs.network, part.weights, targets)
  assert before.mean() == pytest.approx(last['no_edit_mse'], rel=1e-4)
  with path.with_suffix('.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['example', 'image', 'label', 'mse', 'no_edit_mse']
  for name, values in (('mse', errors), ('no_edit_mse', before)):
    written = [float(row[name]) for row in rows]
    np.testing.assert_allclose(written, values, rtol=1e-4)
  assert [int(row['image']) for row in rows] == part.image_index.tolist()


def test_an_edit_of_the_caller(config, tmp_path):
  def invert(image):
    return 255 - image

  ours, other = (editing.prepare(config, image_edit=x) for x in (invert, None))
  images = np.concatenate([x.images for x in ours.dataset.splits.values()])
  white = np.round(images * (255 / 16)).astype(np.uint8)
  np.testing.assert_array_equal(ours.data['target'], 255 - white)
  assert np.any(np.asarray(other.data['target']) != ours.data['target'])
  config.edit = 'ng_jax.data.image_edits:contrast'
  np.testing.assert_array_equal(
    editing.prepare(config).data['target'], image_edits.contrast(white)
  )


def test_bfloat16_is_the_models_choice_only(config):
  config.dtype = 'bfloat16'
  prepared = editing.prepare(config)
  state = jax.eval_shape(prepared.init)
  sums, results = jax.eval_shape(
    prepared.eval_step, state, prepared.data, np.arange(8, dtype=np.int32)
  )
  leaves = jax.tree.leaves((state.params, sums['mse'], results))
  assert {str(leaf.dtype) for leaf in leaves} == {'float32'}


@pytest.mark.slow
def test_networks_out_of_the_domain(data_dir, tmp_path):
  folders = {name: tmp_path / name for name in ('mnist', 'fashion_mnist')}
  for name, folder in folders.items():
    publisher_files.write_mnist(folder, num_train=20 + len(name))
  config = editing_variants.make_config('mlp_edit', 'smoke')
  config.data.data_dir, config.data.source = data_dir, 'mnist'
  config.data.image_dir = str(folders['mnist'])
  config.data.num_train, config.data.num_validation = 8, 4
  config.data.num_test = 3
  config.num_steps = 3
  first = editing.run(config, tmp_path / 'run')
  assert 'out_of_domain_mse' not in first
  config.out_of_domain.source = 'fashion_mnist'
  config.out_of_domain.image_dir = str(folders['fashion_mnist'])
  config.out_of_domain.num_test = 5
  last = editing.run(config, tmp_path / 'run')
  assert {**last, **first} == last
  found = editing.evaluate(config, tmp_path / 'run')
  names = ('out_of_domain_mse', 'out_of_domain_no_edit_mse')
  for name in names:
    assert found[name] == pytest.approx(last[name], rel=1e-6)
  experiment = editing.prepare(config)
  split = experiment.splits['out_of_domain']
  assert (split.first_row, split.labels.size) == (8 + 4 + 3, 5)
  rows = jax.tree.map(lambda x: np.asarray(x)[-5:], experiment.data)
  errors = numpy_siren.squared_errors(
    experiment.dataset.network, rows['weights'], rows['target']
  )
  assert errors.mean() == pytest.approx(last[names[1]], rel=1e-4)
  assert last[names[1]] != last['no_edit_mse']
  assert (tmp_path / 'run/pictures/edited_out_of_domain.png').exists()
