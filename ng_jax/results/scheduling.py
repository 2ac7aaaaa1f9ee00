# SPDX-License-Identifier: Apache-2.0
"""Which run is next, and whether it fits what is left of a budget."""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib

from ng_jax.results import collecting
from ng_jax.results import store
from ng_jax.results import tables

# For starting, compiling and testing, which every call does again.
_START_MINUTES = 0.5
# Of a part of a run that does not fit as a whole; shorter ones only start.
_SHORTEST_PART = 2.0


@dataclasses.dataclass(frozen=True)
class Pending:
  """A run that is missing.

  Attributes:
    row: of the table.
    seed: of the run.
    minutes: that it will take, measured on other seeds or estimated.
    measured: whether `minutes` comes from other seeds.
    begun: whether a part of it is made.
  """

  row: tables.Row
  seed: int
  minutes: float
  measured: bool
  begun: bool

  @property
  def name(self) -> str:
    """'<row>/<seed>', also its folder. Jit: no."""
    return f'{self.row.name}/{self.seed}'


def list_pending(
  table: tables.Table,
  found: Mapping[tuple[str, int], store.Record],
  folder: pathlib.Path,
  *,
  rows: Sequence[str] = (),
) -> list[Pending]:
  """Runs without a record: begun ones first, then seed by seed.

  Args:
    table: whose runs.
    found: records that count, by row and seed.
    folder: of the table's runs; a run lies in <folder>/<row>/<seed>.
    rows: only these; all for none.

  Returns:
    In the order in which they are to be made: one seed of every row before the
    second of any. Jit: no.

  Raises:
    ValueError: an unknown row.
  """
  chosen = [table.row(name) for name in rows] or list(table.rows)
  pending = [
    _describe(row, seed, found, folder / row.name / str(seed))
    for seed in range(table.num_seeds)
    for row in chosen
    if (row.name, seed) not in found
  ]
  return sorted(pending, key=lambda run: not run.begun)


def choose(
  pending: Sequence[Pending], *, minutes_left: float, budget: float
) -> Pending | None:
  """The first run that fits.

  Args:
    pending: in order.
    minutes_left: of the budget.
    budget: minutes of the whole call.

  Returns:
    The first run that can end within what is left. If there is none, the first
    that is longer than the whole budget: no call would ever hold it, so it is
    made in parts. None where neither is there. Jit: no.
  """
  if minutes_left <= 0:
    return None
  for run in pending:
    if run.minutes <= minutes_left:
      return run
  if minutes_left >= _SHORTEST_PART:
    for run in pending:
      if run.minutes > budget or run.begun:
        return run
  return None


def _describe(
  row: tables.Row,
  seed: int,
  found: Mapping[tuple[str, int], store.Record],
  workdir: pathlib.Path,
) -> Pending:
  minutes, measured = estimate(row, found)
  done = collecting.fraction_done(workdir)
  return Pending(
    row=row,
    seed=seed,
    minutes=minutes * (1 - done) + _START_MINUTES,
    measured=measured,
    begun=done > 0,
  )


def estimate(
  row: tables.Row, found: Mapping[tuple[str, int], store.Record]
) -> tuple[float, bool]:
  """Minutes of a seed, data not included.

  Args:
    row: of a table.
    found: records of the table.

  Returns:
    The mean of the seeds that were made, else the estimate of the row; and
    whether it was measured. Jit: no.
  """
  seconds = [
    record['seconds'] - record.get('seconds_preparing', 0.0)
    for record in store.seeds_of(found, row.name)
    if 'seconds' in record
  ]
  if seconds:
    return sum(seconds) / len(seconds) / 60, True
  return row.minutes, False
