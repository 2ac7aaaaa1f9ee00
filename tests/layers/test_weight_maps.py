# SPDX-License-Identifier: Apache-2.0
"""The maps of DWSNets, against the cases that the paper lists."""

import pytest

from ng_jax.layers import weight_maps

Tensor = weight_maps.Tensor


def _find(num_layers, source, target, **options):
  return {
    (str(m.source), str(m.target)): m
    for m in weight_maps.weight_maps(num_layers, **options)
  }.get((source, target))


@pytest.mark.parametrize('num_layers', [3, 4, 5])
def test_every_pair_has_one_map(num_layers):
  maps = weight_maps.weight_maps(num_layers)
  assert len(maps) == (2 * num_layers) ** 2
  assert len({m.name for m in maps}) == len(maps)


@pytest.mark.parametrize(
  ('source', 'target', 'kind', 'over', 'ends'),
  [
    ('weight_0', 'weight_0', 'set', 1, 'inputs'),
    ('weight_3', 'weight_3', 'set', 3, 'outputs'),
    ('weight_1', 'weight_1', 'matrix', 0, ''),
    ('weight_0', 'weight_1', 'set', 1, ''),
    ('weight_1', 'weight_0', 'set', 1, 'inputs'),
    ('weight_1', 'weight_2', 'set', 2, ''),
    # One value for all outputs, as in the reference.
    ('weight_2', 'weight_3', 'set', 3, ''),
    ('weight_3', 'weight_2', 'set', 3, ''),
    ('weight_0', 'weight_2', 'vector', 0, ''),
    ('weight_3', 'weight_0', 'vector', 0, 'inputs'),
    ('weight_1', 'weight_3', 'vector', 0, 'outputs'),
    ('bias_1', 'bias_1', 'set', 2, ''),
    ('bias_3', 'bias_3', 'vector', 0, 'outputs'),
    ('bias_0', 'bias_2', 'vector', 0, ''),
    ('bias_0', 'bias_3', 'vector', 0, 'outputs'),
    ('bias_0', 'weight_0', 'set', 1, 'inputs'),
    ('bias_3', 'weight_3', 'vector', 0, 'outputs'),
    ('bias_1', 'weight_2', 'set', 2, ''),
    ('bias_2', 'weight_3', 'set', 3, 'outputs'),
    ('bias_0', 'weight_3', 'vector', 0, ''),
    ('bias_2', 'weight_0', 'vector', 0, 'inputs'),
    ('weight_0', 'bias_0', 'set', 1, ''),
    ('weight_3', 'bias_3', 'vector', 0, 'outputs'),
    ('weight_1', 'bias_0', 'set', 1, ''),
    ('weight_3', 'bias_2', 'set', 3, ''),
    ('weight_0', 'bias_3', 'vector', 0, 'outputs'),
  ],
)
def test_cases_of_four_layers(source, target, kind, over, ends):
  found = _find(4, source, target)
  assert (found.kind, found.over, found.ends) == (kind, over, ends)


def test_diagonal_keeps_neighbours():
  maps = weight_maps.weight_maps(4, diagonal=True)
  # 4 + 3 + 3 between weights, 4 between biases, 4 + 3 each way.
  assert len(maps) == 10 + 4 + 7 + 7
  assert _find(4, 'weight_0', 'weight_2', diagonal=True) is None
  assert _find(4, 'bias_0', 'bias_1', diagonal=True) is None
  assert _find(4, 'bias_1', 'weight_2', diagonal=True) is not None
  assert _find(4, 'weight_2', 'bias_1', diagonal=True) is not None
  assert _find(4, 'weight_1', 'bias_2', diagonal=True) is None
