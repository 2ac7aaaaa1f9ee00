# SPDX-License-Identifier: Apache-2.0
"""Figures: neural graphs, learning curves, pictures, predictions, symmetry.

Needs matplotlib (extra `demo`), imported when a figure is made. Every function
returns a matplotlib Figure; `save` writes it, a notebook shows it.
"""

from ng_jax.plots.canvas import new_figure
from ng_jax.plots.canvas import save
from ng_jax.plots.canvas import to_array
from ng_jax.plots.curves import error_curves
from ng_jax.plots.curves import learning_curves
from ng_jax.plots.dot_lines import Dot
from ng_jax.plots.dot_lines import dots
from ng_jax.plots.graph_drawing import neural_graph
from ng_jax.plots.pictures import edit_panels
from ng_jax.plots.pictures import picture_rows
from ng_jax.plots.pictures import renderings
from ng_jax.plots.predictions import confusion_matrix
from ng_jax.plots.predictions import scatter
from ng_jax.plots.seeds import seed_curves
from ng_jax.plots.symmetry import equivariance_errors

__all__ = (
  'Dot',
  'confusion_matrix',
  'dots',
  'edit_panels',
  'equivariance_errors',
  'error_curves',
  'learning_curves',
  'neural_graph',
  'new_figure',
  'picture_rows',
  'renderings',
  'save',
  'scatter',
  'seed_curves',
  'to_array',
)
