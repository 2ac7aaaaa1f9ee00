# SPDX-License-Identifier: Apache-2.0
"""The automatic microbatch: chosen where it is safe, and never in the way."""

import jax
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax.train import microbatches


class Accelerator:
  platform = 'gpu'


def choose(name, sizes=(2, 32, 32, 1), *, given=0, devices=None, **options):
  spec = networks.Siren(sizes).spec
  return microbatches.choose_size(
    given,
    models.create(name, spec=spec, **options),
    graphs.topology(spec),
    devices or jax.devices('cpu'),
  )


@pytest.mark.parametrize(
  ('name', 'sizes', 'expected'),
  [
    ('ng_gnn', (2, 32, 32, 1), 4),
    ('ng_t', (2, 32, 32, 1), 1),
    # Larger than the cache: one at a time.
    ('ng_gnn', (2, 128, 128, 1), 1),
    ('ng_t', (2, 128, 128, 1), 1),
    ('ng_t', (2, 8, 8, 1), 12),
  ],
)
def test_as_many_as_stay_in_the_cache(name, sizes, expected):
  assert choose(name, sizes) == expected


def test_what_the_config_says_is_kept():
  assert choose('ng_gnn', given=7) == 7


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('ng_gnn', {'norm_mode': 'batch'}),
    ('ng_gnn', {'pooled_norm': True}),
    ('ng_t', {'pooled_norm': True}),
    ('mlp', {}),
  ],
)
def test_batch_statistics_are_of_the_whole_batch(name, options):
  assert choose(name, **options) == 0


def test_accelerators_work_on_all_at_once():
  assert choose('ng_gnn', devices=[Accelerator()]) == 0
