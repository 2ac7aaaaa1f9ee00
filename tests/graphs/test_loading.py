# SPDX-License-Identifier: Apache-2.0
"""The loader: every network once, the same after a resume, right numbers."""

from collections.abc import Iterator
import itertools
import threading
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax.graphs import prefetching
from tests import repeats

_NUM = 30
_PACKINGS = {
  'concatenation': lambda zoo: graphs.choose_concatenation(zoo, 4),
  'stacks': lambda zoo: graphs.choose_stacks(zoo, 4, num_buckets=3),
}
_TINY = {
  'concatenation': ('ng_gnn', {'hidden_size': 4, 'num_layers': 2}),
  'stacks': (
    'ng_t',
    {
      'node_size': 4,
      'edge_size': 3,
      'attention_size': 4,
      'num_heads': 2,
      'node_hidden_size': 4,
      'edge_hidden_size': 4,
      'readout_size': 4,
      'num_layers': 2,
    },
  ),
}
_NAMES = sorted(_PACKINGS)


def _draw_networks(dtype: Any = np.float32) -> list[tuple[Any, Any]]:
  """Small random CNNs with residuals."""
  rng = np.random.default_rng(0)
  pairs = []
  for _ in range(_NUM):
    network = networks.draw_cnn(
      rng, num_convolutions=(1, 2, 3), channels=(2, 3, 4), kernel_sizes=(1, 3)
    )
    arrays = {
      leaf.path: rng.standard_normal(network.spec.leaf_shape(leaf)).astype(
        dtype
      )
      for leaf in network.spec.leaves
    }
    topology = graphs.topology(network.spec, (3, 3))
    pairs.append((topology, specs.from_leaf_arrays(arrays)))
  return pairs


def _make_loader(name: str, **options: Any) -> graphs.Loader:
  pairs = options.pop('networks', None) or _draw_networks()
  packing = _PACKINGS[name]([topology for topology, _ in pairs])
  options = {
    'labels': {'class': np.arange(1, _NUM + 1), 'target': np.eye(_NUM)},
    'place': None,
    **options,
  }
  return graphs.Loader(pairs, packing=packing, **options)


def _threads() -> int:
  return sum(thread.name == 'prefetch' for thread in threading.enumerate())


def _take(batches: Iterator[Any], num: int) -> list[Any]:
  found = list(itertools.islice(batches, num))
  batches.close()
  return found


def _assert_same(found: Any, wanted: Any) -> None:
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize('name', _NAMES)
def test_evaluation_has_every_network_once(name: str) -> None:
  loader = _make_loader(name)
  batches = list(loader.evaluate())
  examples = np.concatenate([b.examples[b.mask] for b in batches])
  assert sorted(examples.tolist()) == list(range(_NUM))
  for batch in batches:
    real = batch.examples[batch.mask]
    assert batch.examples[~batch.mask].tolist() == [-1] * np.sum(~batch.mask)
    np.testing.assert_array_equal(batch.labels['class'][batch.mask], real + 1)
    np.testing.assert_array_equal(
      batch.labels['target'][batch.mask], np.eye(_NUM)[real]
    )
    assert not np.any(batch.labels['target'][~batch.mask])
    sizes = batch.graph.n_node.reshape(-1)[batch.mask]
    np.testing.assert_array_equal(sizes, loader.packing.num_nodes[real])
  # A mean over the data set is exact, whatever the batches.
  mean = sum(np.sum(b.weight * b.labels['class']) for b in batches)
  np.testing.assert_allclose(mean, np.mean(np.arange(1, _NUM + 1)), rtol=1e-6)


@pytest.mark.parametrize('name', _NAMES)
def test_epochs_have_every_network_once_but_for_what_waits(name: str) -> None:
  loader = _make_loader(name)
  counts = np.zeros(_NUM, int)
  num_batches = loader.num_batches(20)
  weights = []
  for batch in _take(loader.train(), num_batches):
    counts += np.bincount(batch.examples[batch.mask], minlength=_NUM)
    weights.append(np.sum(batch.weight))
  most = max(bucket.num_graphs for bucket in loader.packing.shapes)
  assert np.sum(20 - counts) <= most * len(loader.packing.shapes)
  assert counts.max() == 20 and counts.min() >= 18
  # Every network weighs the same, and a batch one on average.
  np.testing.assert_allclose(np.mean(weights), 1.0, rtol=0.05)


@pytest.mark.parametrize('name', _NAMES)
def test_resumed_is_uninterrupted_and_seeds_differ(name: str) -> None:
  loader = _make_loader(name)
  whole = _take(loader.train(), 24)
  _assert_same(_take(_make_loader(name).train(17), 7), whole[17:])
  # Neither the thread nor what was read before matters.
  _assert_same(_take(_make_loader(name, num_ahead=0).train(3), 2), whole[3:5])
  orders = [
    [b.examples.tolist() for b in _take(_make_loader(name, seed=s).train(), 3)]
    for s in (0, 1)
  ]
  assert orders[0] != orders[1]
  with pytest.raises(ValueError, match='first_step must be at least 0'):
    loader.train(-1)


@pytest.mark.parametrize(
  'name', repeats.cases(_NAMES, repeats=('concatenation',))
)
def test_predictions_are_those_of_each_network_alone(
  x64: None, name: str
) -> None:
  pairs = _draw_networks(np.float64)
  rng = np.random.default_rng(1)
  activations = [rng.standard_normal((t.num_nodes, 5)) for t, _ in pairs]
  loader = _make_loader(
    name,
    networks=pairs,
    node_activations=activations,
    place=jax.device_put,
    dtype=np.float64,
  )
  model_name, options = _TINY[name]
  model = models.create(
    model_name,
    num_inputs=3,
    num_hidden_layers=3,
    num_output_nodes=10,
    num_outputs=2,
    fourier_size=3,
    num_probes=5,
    probe_projection='role',
    **options,
  )
  traces = []

  @jax.jit
  def predict(variables: Any, graph: Any) -> jax.Array:
    traces.append(graph.n_node.shape)
    return model.apply(variables, graph)

  batches = list(loader.evaluate())
  variables = jax.jit(model.init)(
    {'params': jax.random.key(0)}, batches[0].graph
  )
  variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
  found = np.zeros((_NUM, 2))
  for batch in [*batches, *_take(loader.train(), 20)]:
    out = predict(variables, batch.graph)
    found[np.asarray(batch.examples)[batch.mask]] = np.asarray(out)[batch.mask]
  assert len(traces) <= {'concatenation': 1, 'stacks': 3}[name]
  # Alone: one network in a batch that holds the largest.
  alone = np.zeros_like(found)
  last = loader.packing.shapes[-1]
  for i, pair in enumerate(pairs):
    if name == 'concatenation':
      graph = graphs.concatenate(
        [pair],
        graphs.Budget(2, last.num_nodes, last.num_edges),
        node_activations=[activations[i]],
        dtype=np.float64,
      )
    else:
      graph = graphs.stack(
        [pair],
        max_nodes=last.max_nodes,
        max_edges=last.max_edges,
        node_activations=[activations[i]],
        dtype=np.float64,
      )
    graph = graph._replace(globals=None)
    alone[i] = np.asarray(predict(variables, graph))[0]
  assert np.min(np.std(alone, axis=0)) > 1e-4
  np.testing.assert_allclose(found, alone, rtol=1e-10, atol=1e-12)


def test_one_spec_by_chance_does_not_change_the_structure() -> None:
  pairs = _draw_networks()
  packing = graphs.choose_stacks([t for t, _ in pairs], 1, num_buckets=6)
  assert 1 in [bucket.num_graphs for bucket in packing.shapes]
  loader = graphs.Loader(pairs, np.zeros(_NUM), packing, place=None)
  assert all(batch.graph.globals is None for batch in loader.evaluate())
  same = [pairs[0]] * 3
  packing = graphs.choose_stacks([t for t, _ in same], 2)
  loader = graphs.Loader(same, np.zeros(3), packing, place=None)
  assert all('weights' in b.graph.globals for b in loader.evaluate())


class _Broken:
  """Networks, the fourth of which cannot be read."""

  def __init__(self, pairs: list[Any]) -> None:
    self._pairs = pairs

  def __len__(self) -> int:
    return len(self._pairs)

  def __getitem__(self, i: int) -> Any:
    if i == 3:
      raise OSError('disk on fire')
    return self._pairs[i]


def test_errors_of_the_thread_reach_the_caller() -> None:
  pairs = _draw_networks()
  packing = _PACKINGS['concatenation']([t for t, _ in pairs])
  loader = graphs.Loader(_Broken(pairs), np.zeros(_NUM), packing, place=None)
  batches = loader.train()
  with pytest.raises(OSError, match='disk on fire'):
    list(itertools.islice(batches, _NUM))
  assert not _threads()


def test_leaving_early_leaves_no_thread() -> None:
  loader = _make_loader('stacks')
  batches = loader.train()
  assert not _threads()
  next(batches)
  assert _threads() == 1
  batches.close()
  assert not _threads()
  for _ in loader.train():
    break
  assert not _threads()
  list(loader.evaluate())
  assert not _threads()


def test_the_thread_works_ahead_and_no_further() -> None:
  made = []

  def items() -> Iterator[int]:
    for i in range(10):
      made.append((i, threading.current_thread().name))
      yield i

  found = prefetching.prefetch(items(), 2)
  assert next(found) == 0
  deadline = time.monotonic() + 5
  while len(made) < 4 and time.monotonic() < deadline:
    time.sleep(0.001)
  time.sleep(0.02)
  # One in use, two ready, one waiting for room.
  assert made == [(i, 'prefetch') for i in range(4)]
  assert list(found) == list(range(1, 10))
  assert list(prefetching.prefetch(iter('ab'), 0)) == ['a', 'b']
  with pytest.raises(ValueError, match='num_ahead must be at least 0, got -1'):
    prefetching.prefetch(iter('ab'), -1)


def test_other_numbers_of_entries_are_refused() -> None:
  with pytest.raises(ValueError, match=r'network, 30, got \[29\] in labels'):
    _make_loader('stacks', labels=np.zeros(29))
  with pytest.raises(ValueError, match=r'got \[1\] in node_activations'):
    _make_loader('stacks', node_activations=[np.zeros((9, 2))])


def test_weights_with_batch_axes_are_refused() -> None:
  (topology, weights), *_ = _draw_networks()
  batched = jax.tree.map(lambda x: x[None], weights)
  with pytest.raises(ValueError, match='must have no batch axes, got'):
    graphs.stack([(topology, batched)], max_nodes=99, max_edges=999)
