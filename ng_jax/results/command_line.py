# SPDX-License-Identifier: Apache-2.0
"""What the modes of experiments/results.py do."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import pathlib
import shlex
from typing import Any

from ng_jax.results import collecting
from ng_jax.results import commands
from ng_jax.results import config_files
from ng_jax.results import driving
from ng_jax.results import executing
from ng_jax.results import scheduling
from ng_jax.results import store as store_lib
from ng_jax.results import tables
from ng_jax.results import writing

REPORT = 'RESULTS.md'


@dataclasses.dataclass(frozen=True)
class Call:
  """A call of the binary; the modes are its methods.

  Attributes:
    root: of the repository.
    runs: folder of the runs, as given.
    store: of the records; docs/results of the repository by default.
    data_dir: of made data sets, as given.
    image_dir: of the publishers' image files, as given, or nothing.
    path: of published networks, as given, or nothing.
  """

  root: pathlib.Path
  runs: str
  store: str = ''
  data_dir: str = 'data'
  image_dir: str = ''
  path: str = ''

  @property
  def places(self) -> driving.Places:
    """Where things lie; absolute, since runs start in the root."""
    given = {
      'data_dir': self.data_dir,
      'image_dir': self.image_dir,
      'path': self.path,
    }
    fields = {
      name: str(pathlib.Path(folder).resolve())
      for name, folder in given.items()
      if folder
    }
    store = pathlib.Path(self.store) if self.store else None
    return driving.Places(
      root=self.root,
      runs=pathlib.Path(self.runs).resolve(),
      store=(store or self.root / store_lib.FOLDER).resolve(),
      fields=fields,
    )

  def run(
    self, table: tables.Table, rows: Sequence[str], minutes: float
  ) -> driving.Report:
    """Makes missing runs; see `driving.run_missing`. Jit: no."""
    return driving.run_missing(
      table,
      self.places,
      minutes=minutes,
      rows=rows,
      execute=functools.partial(executing.execute, root=self.root),
    )

  def list_costs(self, table: tables.Table, rows: Sequence[str]) -> list[str]:
    """Lines with the minutes and the command of every missing run.

    Args:
      table: whose runs.
      rows: only these; all for none.

    Returns:
      A line a run, then one with the sum. Jit: no.

    Raises:
      ValueError: an unknown row, a row that its binary would refuse.
    """
    places, folder = self.places, self.places.folder(table)
    found = driving.counting_records(table, places)
    pending = scheduling.list_pending(table, found, folder, rows=rows)
    lines = []
    for run in pending:
      config = commands.resolve(table, run.row, self.root)
      command = commands.make_command(
        table,
        run.row,
        seed=run.seed,
        workdir=str(folder / run.name),
        places=commands.find_places(config, places.fields),
      )
      kind = 'measured' if run.measured else 'estimated'
      lines.append(
        f'{run.name}: {run.minutes:.1f} minutes ({kind}): '
        f'python {shlex.join(command)}'
      )
    total = sum(run.minutes for run in pending)
    return [
      *lines,
      f'{len(pending)} runs, {total:.0f} minutes on {table.hardware}',
    ]

  def collect(
    self,
    table: tables.Table,
    rows: Sequence[str],
    run: str | None,
    stated: Mapping[str, Any],
  ) -> str:
    """Keeps the record of a run that exists.

    Args:
      table: of the row.
      rows: the name of one row.
      run: workdir of the run.
      stated: see `collecting.collect`.

    Returns:
      What was kept, in words. Jit: no.

    Raises:
      ValueError: no run, not exactly one row, or as `collecting.collect`.
    """
    if run is None or len(rows) != 1:
      raise ValueError(
        '--mode=collect needs --run=<its workdir> and --rows=<one row>, got '
        f'run={run!r} and rows={list(rows)}; the rows are '
        f'{[row.name for row in table.rows]}.'
      )
    record = collecting.collect(
      table, table.row(rows[0]), run, root=self.root, stated=stated
    )
    store_lib.add(self.places.store, record)
    name = table.metrics[0].name
    return (
      f'{table.name}:{table.variant} {rows[0]}/{record["seed"]}: {name} '
      f'{record["metrics"][name]:.4f}'
    )

  def write(self, report: str) -> list[str]:
    """Completes a text from the records, and draws the plots beside them.

    Args:
      report: its path; RESULTS.md of the repository for ''.

    Returns:
      Paths of what was written. Jit: no.

    Raises:
      ValueError: no markers, or unknown tables, see `writing.write_tables`.
    """
    path = pathlib.Path(report) if report else self.root / REPORT
    text = path.read_text(encoding='utf-8')
    find = functools.partial(find_table, self.root)
    new = writing.write_tables(text, find, self.places)
    pictures = writing.write_plots(
      [find(*marker) for marker in writing.list_markers(text)], self.places
    )
    temporary = path.with_name(f'.part-{path.name}')
    temporary.write_text(new, encoding='utf-8')
    temporary.replace(path)
    return [str(path), *map(str, pictures)]


def find_table(root: pathlib.Path, name: str, variant: str) -> tables.Table:
  """Reads a table of configs/results.

  Args:
    root: of the repository.
    name: of the table.
    variant: of its config.

  Returns:
    The table. Jit: no.

  Raises:
    ValueError: an unknown table; the known ones are listed.
  """
  path = root / 'configs' / 'results' / f'{name}.py'
  return tables.from_config(config_files.load(path, variant))
