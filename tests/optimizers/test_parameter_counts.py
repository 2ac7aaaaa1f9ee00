# SPDX-License-Identifier: Apache-2.0
"""Numbers of parameters of the paper's optimizers (l2o spec 7.6)."""

import jax
import pytest

from ng_jax import networks
from ng_jax import optimizers
from tests.optimizers import tiny

_CNN = networks.Cnn(
  channels=(1, 16, 32, 32), kernel_sizes=(3, 3, 3), num_classes=10
).spec


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  'name, expected', [('ff', 5_250), ('lstm', 11_554), ('ng_gnn', 727_682)]
)
def test_number_of_parameters(name, expected):
  spec = _CNN if name == 'ng_gnn' else None
  theta = dict(tiny.draw_theta(optimizers.create(name, spec)))
  table = theta.pop('positions', {})
  assert _count(theta) == expected
  assert _count(table) == (64 * 64 if name == 'ng_gnn' else 0)


def test_number_of_parameters_of_the_transformer():
  """Input maps, blocks, output maps, and the head 14 + 32 -> 32 -> 32 -> 2."""
  theta = dict(tiny.draw_theta(optimizers.create('ng_t', _CNN)))
  assert _count(theta['positions']) == 64 * 32
  assert _count(theta['head']) == 46 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2
  known = ('positions', 'head', 'embedding', 'block_0', 'block_1')
  output_maps = {k: v for k, v in theta.items() if k not in known}
  assert _count(output_maps) == 3 * (32 * 32 + 32)
  assert _count(theta['embedding']) == 2 * (350 * 32 + 32 + 32 * 32 + 32)


@pytest.mark.parametrize('name', ['nfn', 'google_nfn'])
def test_parameters_are_as_many_at_any_width(name):
  counts = {
    _count(tiny.draw_theta(tiny.create(name, networks.Mlp(sizes).spec)))
    for sizes in ((2, 3, 4, 2), (5, 6, 7, 3))
  }
  assert len(counts) == 1
