# SPDX-License-Identifier: Apache-2.0
"""Classifiers of changed networks: an invariant one does not see orders."""

import jax
import numpy as np
import pytest

from ng_jax.train import classification
from ng_jax.train import classification_variants
from ng_jax.train import robustness

pytestmark = pytest.mark.usefixtures('compilation_cache')


def measure(model, data_dir):
  config = classification_variants.make_config(model, 'smoke')
  config.data.data_dir = data_dir
  experiment = classification.prepare(config)
  state = experiment.init()
  before = jax.device_get(experiment.data['weights'])
  found = robustness.measure(experiment, state)
  after = jax.device_get(experiment.data['weights'])
  jax.tree.map(np.testing.assert_array_equal, before, after)
  return found


def test_an_invariant_model_does_not_see_the_order(data_dir):
  found = measure('probing', data_dir)
  assert found['permuted_agreement'] == 1.0
  assert found['permuted_confidence_shift'] < 1e-6
  assert set(found) == {
    f'{change}_{what}'
    for change in robustness.CHANGES
    for what in ('accuracy', 'agreement', 'confidence_shift')
  }


def test_an_mlp_sees_every_change(data_dir):
  found = measure('mlp', data_dir)
  assert found['permuted_confidence_shift'] > 1e-4
  shifts = [found[f'{name}_confidence_shift'] for name in ('bits_8', 'bits_4')]
  assert 0 < shifts[0] < shifts[1]
  shifts = [found[f'pruned_{n}_confidence_shift'] for n in (10, 30)]
  assert 0 < shifts[0] < shifts[1]
