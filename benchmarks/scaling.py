# SPDX-License-Identifier: Apache-2.0
"""Cost of a training step against the size of networks and of the batch.

Networks are SIRENs with two hidden layers of 16 to 512 neurons; batches of 1 to
512 are worked on in microbatches. For every curve a straight line is fitted to
processor time against edges, by least squares of relative errors:
`<model>_<widths or batches>_slope`, with the largest relative deviation of a
point from it. Points over --max_gib of temporaries are not run, and said.

NG-T works on pairs of nodes; with two hidden layers of w there are (2 w + 3)^2
of them, close to four for each of the w^2 + 3 w edges, so that it, too, should
be a line in edges.

python benchmarks/scaling.py --json=FILE --picture=scaling.png
"""

from collections.abc import Sequence
from typing import Any

from absl import app
from absl import flags
import numpy as np
import reporting
import training

from ng_jax import networks

_QUICK = flags.DEFINE_bool('quick', False, 'Few small points, for tests.')
_MODELS = flags.DEFINE_list('models', ['ng_gnn', 'ng_t'], 'Models to measure.')
_WIDTHS = flags.DEFINE_list(
  'widths', ['16', '32', '64', '128', '256', '512'], ''
)
_BATCHES = flags.DEFINE_list('batches', ['1', '8', '64', '512'], '')
_MICROBATCH = flags.DEFINE_integer('chunk', 4, 'Graphs worked on at once.')
_MAX_GIB = flags.DEFINE_float('max_gib', 16.0, 'Most memory of a point.')
_PICTURE = flags.DEFINE_string('picture', '', 'File for a picture.')

_TINY: dict[str, dict[str, Any]] = {
  'ng_gnn': {'hidden_size': 4, 'num_layers': 1},
  'ng_t': {'node_size': 8, 'attention_size': 8, 'num_layers': 1},
}
# (edges, seconds of processor time) of the points of a curve.
_Points = list[tuple[int, float]]


def _measure(
  name: str, width: int, batch_size: int, row: str
) -> tuple[int, float] | None:
  """Measures one point; None where it needs too much memory."""
  network = networks.Siren((2, width, width, 1))
  microbatch_size = min(_MICROBATCH.value, batch_size)
  options = _TINY[name] if _QUICK.value else {'remat': width > 64}
  training_step = training.make(
    name,
    network,
    batch_size=batch_size,
    microbatch_size=microbatch_size,
    **options,
  )
  compiled = training_step.compile()
  gib = compiled.memory_analysis().temp_size_in_bytes / 2**30
  edges = batch_size * (width**2 + 3 * width)
  if gib > _MAX_GIB.value:
    print(f'{row}: needs {gib:.1f} GiB, over --max_gib; not run.', flush=True)
    return None
  arguments = training.fill(training_step, network)
  seconds = reporting.measure(lambda: compiled(*arguments))
  reporting.emit(
    row,
    1000 * seconds.cpu,
    'ms of processor time a step',
    wall_ms=round(1000 * seconds.wall, 2),
    edges=edges,
    temporaries_mib=round(1024 * gib, 1),
  )
  return edges, seconds.cpu


def _fit(points: _Points) -> tuple[float, float, float]:
  """Seconds per edge, seconds for none, and the largest relative deviation."""
  edges, seconds = np.array(points, float).T
  columns = np.stack([edges, np.ones_like(edges)], axis=1) / seconds[:, None]
  (slope, offset), *_ = np.linalg.lstsq(
    columns, np.ones_like(seconds), rcond=None
  )
  deviation = np.max(np.abs((slope * edges + offset) / seconds - 1))
  return float(slope), float(offset), float(deviation)


def _draw(curves: dict[str, _Points], path: str) -> None:
  import matplotlib

  matplotlib.use('agg')
  from matplotlib import pyplot as plt

  figure, axes = plt.subplots(figsize=(6, 4))
  for name, points in curves.items():
    edges, seconds = np.array(points, float).T
    slope, offset, _ = _fit(points)
    (line,) = axes.loglog(edges, seconds, 'o', label=name)
    line_x = np.geomspace(edges.min(), edges.max())
    axes.loglog(line_x, slope * line_x + offset, '-', color=line.get_color())
  axes.set_xlabel('edges in the batch')
  axes.set_ylabel('processor time of a training step (s)')
  axes.legend()
  figure.tight_layout()
  figure.savefig(path, dpi=120)


def main(argv: Sequence[str]) -> None:
  """Measures all curves, fits and draws them."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  widths = [4, 8] if _QUICK.value else [int(x) for x in _WIDTHS.value]
  batches = [1, 4] if _QUICK.value else [int(x) for x in _BATCHES.value]
  batch_width = 4 if _QUICK.value else 32
  curves: dict[str, _Points] = {}
  for name in _MODELS.value:
    runs = {
      f'{name}_widths': [(w, 1, f'{name}_width_{w}') for w in widths],
      f'{name}_batches': [
        (batch_width, b, f'{name}_batch_{b}') for b in batches
      ],
    }
    for curve, entries in runs.items():
      found = [_measure(name, *entry) for entry in entries]
      points = [point for point in found if point is not None]
      if len(points) < 2:
        continue
      curves[curve] = points
      slope, offset, deviation = _fit(points)
      reporting.emit(
        f'{curve}_slope',
        1e9 * slope,
        'ns of processor time an edge',
        offset_ms=round(1000 * offset, 3),
        largest_deviation_percent=round(100 * deviation, 1),
      )
  if _PICTURE.value and curves:
    _draw(curves, _PICTURE.value)


if __name__ == '__main__':
  app.run(main)
