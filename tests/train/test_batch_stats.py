# SPDX-License-Identifier: Apache-2.0
"""Statistics of batch norms: moved once per step, blind to padding; anew."""

import functools
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import specs
from ng_jax.train import batch_stats
from ng_jax.train import checkpoints
from ng_jax.train import classifier
from ng_jax.train import devices
from ng_jax.train import optimizers
from ng_jax.train import sampler
from ng_jax.train import state as state_lib
from ng_jax.train import steps
from tests import programs
from tests.models import readers

_SPEC = specs.mlp((2, 3, 3, 1))
_TOPOLOGY = graphs.topology(_SPEC)


def make_task(learning_rate=0.01):
  """A tiny MLP with batch norm, its state and data."""
  model = readers.create('mlp', _SPEC)
  data = {
    'weights': readers.draw_weights(_SPEC, num=20),
    'label': np.arange(20, dtype=np.int32) % 3,
  }
  optimizer = optimizers.adamw(learning_rate, eps=1e-3)
  state = state_lib.create(
    readers.draw_variables(model, _SPEC), optimizer, key=jax.random.key(7)
  )
  step = functools.partial(
    steps.train_step,
    loss_function=classifier.make_loss_function(model, _TOPOLOGY, augment=None),
    optimizer=optimizer,
  )
  return model, data, state, step


def run_step(index, microbatch_size=0):
  _, data, state, step = make_task()
  step = jax.jit(functools.partial(step, microbatch_size=microbatch_size))
  return step(state, data, jnp.asarray(index))


def moved_by(rows):
  """What one batch of these rows makes of the running statistics."""
  model, data, state, _ = make_task()
  weights = jax.tree.map(lambda x: x[np.array(rows)], data['weights'])
  _, moved = model.apply(
    state.variables,
    graphs.encode(_TOPOLOGY, weights),
    train=True,
    mutable=['batch_stats'],
  )
  return moved['batch_stats']


def assert_close(a, b, tolerance=1e-5):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def test_a_step_moves_them_and_padding_does_not_count():
  exact, _ = run_step([3, 1, 4, 8])
  padded, sums = run_step([3, 1, 4, 8, -1, -1])
  assert int(sums['count']) == 4
  assert_close(padded.batch_stats, moved_by([3, 1, 4, 8]))
  assert_close(exact.batch_stats, padded.batch_stats)
  assert_close(exact.params, padded.params)


def test_microbatches_weigh_by_their_real_examples():
  found, _ = run_step([0, 1, 2, 3, 4, -1, -1, -1, -1], microbatch_size=3)
  parts = moved_by([0, 1, 2]), moved_by([3, 4])
  wanted = jax.tree.map(lambda a, b: (3 * a + 2 * b) / 5, *parts)
  assert_close(found.batch_stats, wanted)
  # The size of the microbatches is that of the statistics.
  whole, _ = run_step([0, 1, 2, 3, 4])
  differences = jax.tree.map(
    lambda a, b: np.max(np.abs(a - b)), found.batch_stats, whole.batch_stats
  )
  assert max(jax.tree.leaves(differences)) > 2e-5


def test_a_batch_of_padding_leaves_them():
  _, _, before, _ = make_task()
  after, sums = run_step([-1, -1])
  assert int(sums['count']) == 0
  assert_close(after.batch_stats, before.batch_stats, 0)


def statistics_of(rows):
  """Those of one batch of these rows, without old ones."""
  before = make_task()[2].batch_stats
  moved = moved_by(rows)
  return jax.tree.map(lambda old, new: 10 * new - 9 * old, before, moved)


def measure_step(microbatch_size=0):
  _, data, state, step = make_task()
  return (
    data,
    state,
    functools.partial(
      steps.statistics_step,
      loss_function=step.keywords['loss_function'],
      microbatch_size=microbatch_size,
    ),
  )


def test_statistics_anew_are_those_of_microbatches_without_old_ones():
  data, state, measure = measure_step(microbatch_size=3)
  index = jnp.asarray([0, 1, 2, 3, 4, -1, -1, -1, -1])
  found, count = jax.jit(measure)(state, data, index)
  assert float(count) == 5
  wanted = jax.tree.map(
    lambda a, b: 3 * a + 2 * b, statistics_of([0, 1, 2]), statistics_of([3, 4])
  )
  assert_close(found, wanted, 1e-4)
  other = state.replace(
    batch_stats=jax.tree.map(lambda x: x + 7, state.batch_stats)
  )
  assert_close(jax.jit(measure)(other, data, index)[0], found, 0)


def run_of(num_batches):
  """What `make_renew` takes of an experiment, and batches of 6."""
  data, _, measure = measure_step()
  chosen = devices.choose(1)
  experiment = types.SimpleNamespace(
    config={'precise_batch_stats': num_batches},
    data=devices.replicate(data, chosen),
    devices=chosen,
    init=lambda: make_task()[2],
    statistics_step=devices.make_step(measure, chosen),
  )
  batches = sampler.IndexSampler(num_examples=20, batch_size=6, multiple_of=4)
  return experiment, batches


def test_renewed_statistics_are_the_mean_of_the_coming_batches():
  experiment, batches = run_of(3)
  renew = batch_stats.make_renew(experiment, batches)
  state = make_task()[2].replace(step=jnp.int32(2))
  found = renew(state)
  parts = [batches.batch(number) for number in (2, 3, 4)]
  parts = [part[part >= 0] for part in parts]
  assert [len(part) for part in parts] == [6, 2, 6]  # Over the end of an epoch.
  wanted = jax.tree.map(
    lambda a, b, c: (6 * a + 2 * b + 6 * c) / 14, *map(statistics_of, parts)
  )
  assert_close(found.batch_stats, wanted, 1e-4)
  assert_close(renew(found).batch_stats, found.batch_stats, 0)
  assert found.params is state.params
  assert found.step is state.step


def test_renewed_statistics_make_evaluation_what_training_was():
  # One batch of all networks: then both normalise by the same numbers.
  experiment, _ = run_of(1)
  everything = sampler.IndexSampler(num_examples=20, batch_size=20)
  model, data, state, _ = make_task()
  graph = graphs.encode(_TOPOLOGY, data['weights'])
  renewed = batch_stats.make_renew(experiment, everything)(state)
  biased = jax.tree_util.tree_map_with_path(
    lambda path, x: x * 19 / 20 if path[-1].key == 'var' else x,
    renewed.batch_stats,
  )
  found = model.apply({**renewed.variables, 'batch_stats': biased}, graph)
  wanted, _ = model.apply(
    state.variables, graph, train=True, mutable=['batch_stats']
  )
  np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
  trailing = model.apply(state.variables, graph)
  assert np.abs(trailing - wanted).max() > 0.1


def test_training_does_not_notice_and_compiles_nothing_anew():
  experiment, batches = run_of(2)
  renew = batch_stats.make_renew(experiment, batches)
  step = devices.make_step(
    make_task()[3], experiment.devices, donate_state=True
  )

  def train(renew):
    state = devices.replicate(make_task()[2], experiment.devices)
    for number in range(4):
      state, _ = step(state, experiment.data, batches.batch(number))
      if number % 2:
        state = renew(state)
    return state

  plain, programs = train(lambda state: state), step._cache_size()
  renewed = train(renew)
  assert_close(renewed.params, plain.params, 0)
  assert_close(renewed.opt_state, plain.opt_state, 0)
  assert step._cache_size() == programs
  assert experiment.statistics_step._cache_size() == 1
  assert_close(renewed.batch_stats, renew(plain).batch_stats, 0)


def test_renewing_is_off_by_default_and_needs_a_batch_norm():
  experiment, batches = run_of(0)
  state = make_task()[2]
  assert batch_stats.make_renew(experiment, batches)(state) is state
  config = {'precise_batch_stats': 8, 'model': {'name': 'ng_gnn'}}
  experiment = types.SimpleNamespace(
    config=ml_collections.ConfigDict(config),
    init=lambda: state.replace(batch_stats={}),
  )
  with pytest.raises(ValueError, match="got 8 with .*'ng_gnn'; set it to 0"):
    batch_stats.make_renew(experiment, batches)


def test_evaluation_uses_them():
  model, data, state, _ = make_task()
  measure = jax.jit(
    functools.partial(
      steps.eval_step,
      metric_function=classifier.make_metric_function(model, _TOPOLOGY),
    )
  )
  index = jnp.arange(6)
  _, alone = measure(state, data, index[:1])
  sums, together = measure(state, data, index)
  np.testing.assert_allclose(
    together['confidence'][0], alone['confidence'][0], rtol=1e-5
  )
  changed = state.replace(
    batch_stats=jax.tree.map(lambda x: x + 0.5, state.batch_stats)
  )
  other, _ = measure(changed, data, index)
  assert abs(float(other['loss'] - sums['loss'])) > 1e-3


def test_resuming_from_a_checkpoint_changes_nothing(tmp_path):
  _, data, state, step = make_task()
  step = jax.jit(step)
  batches = [jnp.arange(6) + 3 * i for i in range(4)]
  for batch in batches[:2]:
    state, _ = step(state, data, batch)
  with checkpoints.CheckpointStore(tmp_path) as store:
    store.save(state, metrics={'validation_accuracy': 0.5}, config={})
  with checkpoints.CheckpointStore(tmp_path) as store:
    resumed = store.restore(make_task()[2], step=2)
  for batch in batches[2:]:
    state, _ = step(state, data, batch)
    resumed, _ = step(resumed, data, batch)
  assert_close(resumed.batch_stats, state.batch_stats, 0)
  assert_close(resumed.params, state.params, 0)
  bare = make_task()[2].replace(batch_stats={})
  with checkpoints.CheckpointStore(tmp_path) as store:
    with pytest.raises(ValueError, match='only in the checkpoint: batch_stats'):
      store.restore(bare, step=2)


FOUR_DEVICES = """
import functools, jax, numpy as np
from ng_jax.train import devices
from tests.train import test_batch_stats

def train(num_devices, microbatch_size):
  _, data, state, step = test_batch_stats.make_task()
  chosen = devices.choose(num_devices)
  data = devices.replicate(data, chosen)
  step = devices.make_step(
    functools.partial(step, microbatch_size=microbatch_size), chosen)
  for number in range(3):
    index = np.arange(8, dtype=np.int32) + 4 * number
    index[-1 - number:] = -1
    state, _ = step(state, data, index)
  _, _, measure = test_batch_stats.measure_step(microbatch_size)
  totals, count = devices.make_step(measure, chosen)(state, data, index)
  assert float(count) == 5
  return jax.device_get((state.params, state.batch_stats, totals))

assert jax.local_device_count() == 4
one, four = train(1, 2), train(4, 2)
for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
whole = train(1, 0)[1]
differences = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), whole, four[1])
assert max(jax.tree.leaves(differences)) > 1e-4
print('equal')
"""


@pytest.mark.slow
def test_four_devices_equal_one_with_microbatches_of_the_same_size():
  done = subprocess.run(
    [sys.executable, '-W', 'error::DeprecationWarning', '-c', FOUR_DEVICES],
    env=programs.with_devices(4),
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == 'equal'
