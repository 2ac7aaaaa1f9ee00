# SPDX-License-Identifier: Apache-2.0
"""The figure of equivariance errors."""

import numpy as np
import pytest

from ng_jax import plots


def test_medians_and_rounding_are_marked():
  errors = {'NG-GNN': [1e-7, 2e-7, 4e-7], 'MLP': [0.1, 0.2, 0.3], 'same': [0.0]}
  (panel,) = plots.equivariance_errors(errors, title='symmetry').axes
  assert [text.get_text() for text in panel.get_yticklabels()] == list(errors)
  medians = [
    float(np.ravel(line.get_xdata())[0])
    for line in panel.lines
    if line.get_marker() == '|'
  ]
  np.testing.assert_allclose(medians[:2], [2e-7, 0.2])
  low, high = panel.get_xlim()
  assert low < medians[2] < np.finfo(np.float64).eps < high
  notes = [text.get_text() for text in panel.texts]
  assert notes == ['float32', 'float64', 'exactly 0']


@pytest.mark.parametrize('values', [[], [np.nan], [-1.0]])
def test_errors_that_are_none_are_refused(values):
  with pytest.raises(ValueError, match="errors of 'NG-T' must be one or more"):
    plots.equivariance_errors({'NG-T': values})
