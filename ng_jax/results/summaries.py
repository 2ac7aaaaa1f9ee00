# SPDX-License-Identifier: Apache-2.0
"""What the records of a row say together: means, deviations, ranks."""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np

from ng_jax.results import store
from ng_jax.results import tables


@dataclasses.dataclass(frozen=True)
class Summary:
  """A metric of a row over its seeds.

  Attributes:
    mean: unscaled.
    deviation: standard deviation over seeds (with num_seeds - 1); of one seed
      the metric's spread within the run, or None.
    num_seeds: that were measured.
    is_trained: whether the mean is beyond chance, see `Metric.is_trained`.
  """

  mean: float
  deviation: float | None
  num_seeds: int
  is_trained: bool


def summarize(
  metric: tables.Metric, records: Sequence[store.Record]
) -> Summary | None:
  """Sums up a metric over the seeds of a row.

  Args:
    metric: of the table.
    records: of the row, one a seed.

  Returns:
    The summary; None where no record has the metric. Jit: no.
  """
  found = [r['metrics'] for r in records if metric.name in r['metrics']]
  if not found:
    return None
  values = np.array([metrics[metric.name] for metrics in found], np.float64)
  chances = [m[metric.chance] for m in found if metric.chance in m]
  known = {str(metric.chance): float(np.mean(chances))} if chances else {}
  mean = float(values.mean())
  return Summary(
    mean=mean,
    deviation=_deviation(metric, values, found),
    num_seeds=len(values),
    is_trained=metric.is_trained(mean, known),
  )


def rank(
  table: tables.Table, summaries: Mapping[str, Summary | None]
) -> dict[str, int]:
  """Places of the trained rows among those of the same data.

  Args:
    table: with the rows.
    summaries: of the table's first metric, by row.

  Returns:
    {row: place, from 1}; rows that are not trained, or alone with their data,
    have none. Jit: no.
  """
  groups: dict[str, list[tuple[float, str]]] = {}
  sign = -1.0 if table.metrics[0].higher_is_better else 1.0
  for row in table.rows:
    summary = summaries.get(row.name)
    if summary is not None and summary.is_trained:
      groups.setdefault(row.data, []).append((sign * summary.mean, row.name))
  return {
    name: place
    for members in groups.values()
    if len(members) > 1
    for place, (_, name) in enumerate(sorted(members), start=1)
  }


def _deviation(
  metric: tables.Metric,
  values: np.ndarray,
  found: Sequence[Mapping[str, float]],
) -> float | None:
  if len(values) > 1:
    return float(values.std(ddof=1))
  return found[0].get(metric.spread)
