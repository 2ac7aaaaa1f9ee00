# SPDX-License-Identifier: Apache-2.0
"""Which networks share a batch: nothing lost, little padded, few shapes."""

from collections import Counter

import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks


def _zoo(num: int) -> list[graphs.Topology]:
  rng = np.random.default_rng(0)
  return [
    graphs.topology(networks.draw_cnn(rng).spec, (7, 7)) for _ in range(num)
  ]


_ZOO = _zoo(600)


def _packings() -> dict[str, graphs.Packing]:
  return {
    'concatenation': graphs.choose_concatenation(_ZOO, 32),
    'stacks': graphs.choose_stacks(_ZOO, 32),
  }


def _used(packing: graphs.Packing, examples: np.ndarray) -> tuple[int, int]:
  nodes = packing.num_nodes[examples]
  return int(np.sum(packing.num_edges[examples])), int(np.sum(nodes**2))


def test_concatenation_is_what_pack_does() -> None:
  packing = graphs.choose_concatenation(_ZOO, 32)
  order = np.random.default_rng(1).permutation(len(_ZOO))
  groups, rest = packing.pack(order, flush=True)
  wanted = list(graphs.pack([_ZOO[i] for i in order], packing.budget))
  assert [g.examples.tolist() for g in groups] == [
    order[batch].tolist() for batch in wanted
  ]
  assert not rest.size


def test_padding_of_random_cnns_and_the_number_of_shapes() -> None:
  packing = graphs.choose_concatenation(_ZOO, 32)
  groups, _ = packing.pack(np.arange(600))
  edges = sum(_used(packing, group.examples)[0] for group in groups)
  assert 1 - edges / (len(groups) * packing.budget.num_edges) < 0.2
  assert len(packing.shapes) == 1
  stacks = graphs.choose_stacks(_ZOO, 32)
  groups, _ = stacks.pack(np.tile(np.arange(600), 4))
  used = sum(_used(stacks, group.examples)[1] for group in groups)
  room = sum(g.shape.num_graphs * g.shape.max_nodes**2 for g in groups)
  assert 1 - used / room < 0.25
  assert 2 <= len(stacks.shapes) <= 6


def test_buckets_have_equal_pairs_and_the_batch_size_on_average() -> None:
  stacks = graphs.choose_stacks(_ZOO, 16)
  pairs = [b.num_graphs * b.max_nodes**2 for b in stacks.buckets]
  assert max(pairs) < 1.3 * min(pairs)
  assert 14 < stacks.mean_size < 18
  groups, _ = stacks.pack(np.tile(np.arange(600), 40))
  mean = np.mean([len(group.examples) for group in groups])
  np.testing.assert_allclose(mean, stacks.mean_size, rtol=0.01)
  with pytest.raises(ValueError, match='num_buckets must be at least 1'):
    graphs.choose_stacks(_ZOO, 32, num_buckets=0)


@pytest.mark.parametrize('name', ['concatenation', 'stacks'])
def test_what_does_not_fit_is_carried_and_nothing_is_lost(name: str) -> None:
  packing = _packings()[name]
  rng = np.random.default_rng(0)
  carried = np.zeros(0, int)
  seen: list[int] = []
  for epoch in range(1, 4):
    stream = np.concatenate([carried, rng.permutation(600)])
    groups, carried = packing.pack(stream)
    seen += [i for group in groups for i in group.examples.tolist()]
    counts = Counter(seen) + Counter(carried.tolist())
    assert counts == Counter({i: epoch for i in range(600)})
    assert len(carried) < 32 * len(packing.shapes) * 3
    # What waited is in the order of the stream.
    places = {i: place for place, i in enumerate(stream[-600:])}
    waited = [places[i] for i in carried]
    assert name == 'stacks' or waited == sorted(waited)
  assert carried.size


@pytest.mark.parametrize('name', ['concatenation', 'stacks'])
def test_every_batch_fits_and_is_full(name: str) -> None:
  packing = _packings()[name]
  groups, _ = packing.pack(np.arange(600))
  for group, following in zip(groups[:-1], groups[1:], strict=True):
    topologies = [_ZOO[i] for i in group.examples]
    if name == 'concatenation':
      overflow = [*topologies, _ZOO[following.examples[0]]]
      assert group.shape.fits(topologies) and not group.shape.fits(overflow)
    else:
      assert len(topologies) == group.shape.num_graphs
      assert max(t.num_nodes for t in topologies) <= group.shape.max_nodes
      assert max(t.num_edges for t in topologies) <= group.shape.max_edges


def test_cutting_the_stream_elsewhere_changes_nothing() -> None:
  stream = np.random.default_rng(0).permutation(600)
  for packing in _packings().values():
    whole, _ = packing.pack(stream)
    first, carried = packing.pack(stream[:250])
    second, _ = packing.pack(np.concatenate([carried, stream[250:]]))
    assert [g.examples.tolist() for g in whole] == [
      g.examples.tolist() for g in [*first, *second]
    ]


def test_bad_packings_are_refused() -> None:
  with pytest.raises(ValueError, match='needs networks and a batch_size'):
    graphs.choose_concatenation([], 32)
  with pytest.raises(ValueError, match='got 600 topologies and batch_size=0'):
    graphs.choose_stacks(_ZOO, 0)
  with pytest.raises(ValueError, match='the batch of 1 graphs is over budget'):
    graphs.choose_concatenation(_ZOO, 8, budget=graphs.Budget(9, 900, 900))
