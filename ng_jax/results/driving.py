# SPDX-License-Identifier: Apache-2.0
"""Makes the runs of a table that are missing, within a budget of minutes."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
import time

from absl import logging

from ng_jax.results import collecting
from ng_jax.results import commands
from ng_jax.results import executing
from ng_jax.results import scheduling
from ng_jax.results import store
from ng_jax.results import tables


@dataclasses.dataclass(frozen=True)
class Places:
  """Where things lie.

  Attributes:
    root: of the repository, with experiments/ and configs/.
    runs: a run lies in <runs>/<table>-<variant>/<row>/<seed>.
    store: of the records.
    fields: of the configs, {'image_dir': folder, 'data_dir': folder}.
  """

  root: pathlib.Path
  runs: pathlib.Path
  store: pathlib.Path
  fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def folder(self, table: tables.Table) -> pathlib.Path:
    """Of all runs of a table. Jit: no."""
    return self.runs / f'{table.name}-{table.variant}'


@dataclasses.dataclass
class Report:
  """What a call did, as names of runs '<row>/<seed>'.

  Attributes:
    finished: have a record now.
    stopped: saved when the budget ended; the next call goes on with it.
    failed: {name: what was wrong}.
    busy: another process is at them.
    missing: all that have no record yet, those above among them.
  """

  finished: list[str] = dataclasses.field(default_factory=list)
  stopped: list[str] = dataclasses.field(default_factory=list)
  failed: dict[str, str] = dataclasses.field(default_factory=dict)
  busy: list[str] = dataclasses.field(default_factory=list)
  missing: list[str] = dataclasses.field(default_factory=list)


def run_missing(
  table: tables.Table,
  places: Places,
  *,
  minutes: float,
  rows: Sequence[str] = (),
  execute: executing.Execute,
  clock: Callable[[], float] = time.monotonic,
) -> Report:
  """Makes runs until all have a record or the budget ends.

  Killed at any moment, the next call goes on: finished runs that have no record
  yet are collected, others go on from their checkpoints.

  Args:
    table: whose runs.
    places: where things lie.
    minutes: budget of this call.
    rows: only these; all for none.
    execute: runs a command, see `executing.Execute`.
    clock: seconds.

  Returns:
    What was done. Jit: no.

  Raises:
    ValueError: an unknown row, a row that its binary would refuse.
  """
  ends = clock() + 60 * minutes
  report = Report()
  configs = {row.name: commands.resolve(table, row, places.root)
             for row in table.rows}  # fmt: skip
  while True:
    found = counting_records(table, places)
    pending = scheduling.list_pending(
      table, found, places.folder(table), rows=rows
    )
    report.missing = [run.name for run in pending]
    tried = {*report.failed, *report.busy, *report.stopped}
    left = (ends - clock()) / 60
    run = scheduling.choose(
      [run for run in pending if run.name not in tried],
      minutes_left=left,
      budget=minutes,
    )
    if run is None:
      return report
    logging.info(
      '%s %s: about %.1f minutes, %.1f left', table.name, run.name, run.minutes,
      left,
    )  # fmt: skip
    command = commands.make_command(
      table,
      run.row,
      seed=run.seed,
      workdir=str(_workdir(table, places, run)),
      places=commands.find_places(configs[run.row.name], places.fields),
    )
    _make(table, places, run, command, ends - clock(), execute, clock, report)


def counting_records(
  table: tables.Table, places: Places
) -> dict[tuple[str, int], store.Record]:
  """Records that have the settings of their rows today.

  Args:
    table: whose records.
    places: where things lie.

  Returns:
    {(row, seed): record}. Jit: no.
  """
  wanted = {
    row.name: commands.resolve(table, row, places.root) for row in table.rows
  }
  return {
    key: record
    for key, record in store.read(
      places.store, table.name, table.variant
    ).items()
    if key[0] in wanted
    and not commands.differences(record['config'], wanted[key[0]])
  }


def _make(
  table: tables.Table,
  places: Places,
  run: scheduling.Pending,
  command: Sequence[str],
  seconds: float,
  execute: executing.Execute,
  clock: Callable[[], float],
  report: Report,
) -> None:
  """Makes one run, or what is missing of it, and keeps its record."""
  workdir = _workdir(table, places, run)
  ends = clock() + seconds
  code = 0
  if not collecting.is_finished(table, workdir):
    code = execute(command, workdir, seconds)
  for mode in table.modes:
    if not code and not (workdir / f'{mode}.json').exists():
      code = execute([*command, f'--mode={mode}'], workdir, ends - clock())
  if code == executing.BUSY:
    report.busy.append(run.name)
  elif code == executing.STOPPED:
    report.stopped.append(run.name)
  elif code:
    report.failed[run.name] = (
      f'left with {code}:\n{executing.last_lines(workdir)}'
    )
  else:
    try:
      record = collecting.collect(table, run.row, workdir, root=places.root)
    except ValueError as error:
      report.failed[run.name] = str(error)
      return
    store.add(places.store, record)
    report.finished.append(run.name)


def _workdir(
  table: tables.Table, places: Places, run: scheduling.Pending
) -> pathlib.Path:
  return places.folder(table) / run.row.name / str(run.seed)
