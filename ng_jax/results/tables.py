# SPDX-License-Identifier: Apache-2.0
"""What a table of results is: its rows, its metrics, how often it is run."""

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

import ml_collections

_NAME = re.compile('[a-z0-9_]+')


@dataclasses.dataclass(frozen=True)
class Metric:
  """A number of the last line of metrics.jsonl, and how it is shown.

  Attributes:
    name: in metrics.jsonl, such as 'test_accuracy'.
    label: of its column.
    scale: what it is multiplied with to be shown.
    digits: after the point.
    higher_is_better: or lower.
    chance: what an untrained model has, unscaled; or the name of another
      metric that says so; None where it is not known. See `Metric.is_trained`.
    spread: name of a metric that holds a standard deviation within a run; shown
      where there is only one seed.
  """

  name: str
  label: str
  scale: float = 1.0
  digits: int = 3
  higher_is_better: bool = True
  chance: float | str | None = None
  spread: str = ''

  def is_trained(self, value: float, found: Mapping[str, float]) -> bool:
    """Whether a value is more than 5 points (or percent) beyond chance.

    Args:
      value: of the metric, unscaled.
      found: all metrics of the run.

    Returns:
      True where chance is not known. Points where higher is better, percent of
      chance where lower is. Jit: no.
    """
    chance = self.chance
    if isinstance(chance, str):
      chance = found.get(chance)
    if chance is None:
      return True
    if self.higher_is_better:
      return value > chance + 0.05
    return value < 0.95 * chance


@dataclasses.dataclass(frozen=True)
class Row:
  """A method of a table.

  Attributes:
    name: short, of lower-case letters, digits and '_'.
    label: what the table calls it.
    config: file in configs/<binary>/, and variant: 'gnn.py:digits'.
    overrides: fields in addition to the table's, as 'batch_size=32'.
    data: which data, where rows differ; rows are ranked among their like.
    paper: the paper's figure, as the table shows it.
    minutes: estimated for one seed, data not included.
  """

  name: str
  label: str
  config: str
  overrides: tuple[str, ...] = ()
  data: str = ''
  paper: str = ''
  minutes: float = 1.0


@dataclasses.dataclass(frozen=True)
class Table:
  """A table; see `make_config` for what is not said here.

  Attributes:
    name: of the table and of its file of records.
    variant: which protocol, such as 'two_cores'.
    title: above its plot.
    binary: of experiments/, without '.py'.
    protocol: what all rows have in common, in words; whole sentences.
    hardware: that the estimated minutes are for.
    paper_column: head of the column with the paper's figures.
    metrics: the first one ranks the rows.
    rows: in the order in which they are run and shown.
    num_seeds: 0, 1, ... of every row.
    overrides: fields of all rows, as 'data.num_train=10000'.
    modes: of the binary, run after the training; each writes <mode>.json, whose
      numbers count as metrics of the run.
  """

  name: str
  variant: str
  title: str
  binary: str
  protocol: str
  hardware: str
  paper_column: str
  metrics: tuple[Metric, ...]
  rows: tuple[Row, ...]
  num_seeds: int
  overrides: tuple[str, ...] = ()
  modes: tuple[str, ...] = ()

  def row(self, name: str) -> Row:
    """The row of a name.

    Args:
      name: of the row.

    Returns:
      The row. Jit: no.

    Raises:
      ValueError: unknown name; the known ones are listed.
    """
    for row in self.rows:
      if row.name == name:
        return row
    raise ValueError(
      f'unknown row {name!r} of the table {self.name}:{self.variant}; expected '
      f'one of {[row.name for row in self.rows]}.'
    )


def make_config(
  *,
  metrics: Sequence[Metric],
  rows: Sequence[Row],
  hardware: str = 'two CPU cores',
  paper_column: str = "the paper's",
  num_seeds: int = 3,
  overrides: Sequence[str] = (),
  modes: Sequence[str] = (),
  **texts: str,
) -> ml_collections.ConfigDict:
  """Makes the config of a table, for a file in configs/results.

  Args:
    metrics: the first one ranks the rows.
    rows: in the order in which they are run and shown.
    hardware: that the estimated minutes are for.
    paper_column: head of the column with the paper's figures.
    num_seeds: of every row.
    overrides: fields of all rows.
    modes: run after the training, see `Table`.
    **texts: name, variant, title, binary and protocol, see `Table`.

  Returns:
    A config that `from_config` reads. Jit: no.
  """
  return ml_collections.ConfigDict(
    {
      **texts,
      'hardware': hardware,
      'paper_column': paper_column,
      'metrics': tuple(dataclasses.asdict(metric) for metric in metrics),
      'rows': tuple(dataclasses.asdict(row) for row in rows),
      'num_seeds': num_seeds,
      'overrides': tuple(overrides),
      'modes': tuple(modes),
    }
  )


def from_config(config: ml_collections.ConfigDict) -> Table:
  """Reads the config of a table.

  Args:
    config: of `make_config`.

  Returns:
    The table. Jit: no.

  Raises:
    ValueError: rows that share a name, a bad name, no rows, no metrics, or no
      seeds.
  """
  fields = config.to_dict()
  table = Table(
    **{
      **fields,
      'metrics': tuple(Metric(**dict(m)) for m in fields['metrics']),
      'rows': tuple(_row(dict(row)) for row in fields['rows']),
      'overrides': tuple(fields['overrides']),
      'modes': tuple(fields['modes']),
    }
  )
  names = [row.name for row in table.rows]
  bad = [n for n in (table.name, *names) if not _NAME.fullmatch(n)]
  if bad:
    raise ValueError(
      'names of tables and rows must be lower-case letters, digits and '
      f"'_', got {bad}; they name folders."
    )
  if len(set(names)) < len(names):
    raise ValueError(
      f'every row of {table.name} must have a name of its own, got {names}.'
    )
  if not (table.metrics and table.rows and table.num_seeds > 0):
    raise ValueError(
      f'the table {table.name} must have rows, metrics and seeds, got '
      f'{len(table.rows)} rows, {len(table.metrics)} metrics and '
      f'num_seeds={table.num_seeds}; add what is missing.'
    )
  return table


def _row(fields: dict[str, Any]) -> Row:
  return Row(**{**fields, 'overrides': tuple(fields['overrides'])})
