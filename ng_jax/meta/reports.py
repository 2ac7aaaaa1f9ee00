# SPDX-License-Identifier: Apache-2.0
"""Tables and curves of evaluations, from stored records only.

Tuned Adam stands beside every learned optimizer, or there is no table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ng_jax import plots
from ng_jax.meta import tuning

Record = Mapping[str, Any]

# Told apart by colour-blind readers (Okabe and Ito), and by their lines.
_STYLES = (
  ('#666666', '--'),
  ('#0072B2', '-'),
  ('#D55E00', '-'),
  ('#009E73', '-'),
  ('#CC79A7', '-'),
  ('#E69F00', '-.'),
  ('#56B4E9', '-.'),
  ('#000000', ':'),
)


def make_table(
  records: Sequence[Record], *, held: str = 'test', baseline: str = tuning.TUNED
) -> str:
  """Markdown table: an optimizer a row, accuracy and time of a step a task.

  Args:
    records: as `records.describe` makes them; of two with the same task, data
      and optimizer the later counts.
    held: set whose accuracy is shown.
    baseline: the optimizer that must be there on every task; it comes first.

  Returns:
    The table and a line for each column: seeds, steps, training images.
    Accuracies are percentages after the last step, mean and population
    standard deviation over the seeds. Jit: no.

  Raises:
    ValueError: no records; a task without the baseline; a record without the
      held-out set.
  """
  columns = _arrange(records, held, baseline)
  optimizers = _order(columns, baseline)
  head = ['optimizer']
  for title in columns:
    head += [title, 'ms a step']
  lines = [_join(head), _join(['---'] + ['---:'] * (len(head) - 1))]
  for optimizer in optimizers:
    cells = [optimizer]
    for column in columns.values():
      cells += _show(column.get(optimizer), held)
    lines.append(_join(cells))
  notes = [_describe_column(t, list(c.values())) for t, c in columns.items()]
  return '\n'.join([*lines, '', *notes]) + '\n'


def make_task_table(
  records: Sequence[Record], *, held: str = 'test', baseline: str = tuning.TUNED
) -> str:
  """As `make_table` for many tasks: a task a row, an optimizer a column.

  Args:
    records: as `make_table`.
    held: as `make_table`.
    baseline: as `make_table`.

  Returns:
    The table; a cell is accuracy and, in brackets, milliseconds a step. Then
    the lines of `make_table`. Jit: no.

  Raises:
    ValueError: as `make_table`.
  """
  columns = _arrange(records, held, baseline)
  optimizers = _order(columns, baseline)
  lines = [_join(['task', *optimizers])]
  lines.append(_join(['---'] + ['---:'] * len(optimizers)))
  for title, column in columns.items():
    cells = [_show(column.get(optimizer), held) for optimizer in optimizers]
    lines.append(
      _join([title, *(f'{a} ({ms} ms)' if ms else a for a, ms in cells)])
    )
  notes = [_describe_column(t, list(c.values())) for t, c in columns.items()]
  return '\n'.join([*lines, '', *notes]) + '\n'


def draw_curves(
  records: Sequence[Record],
  *,
  held: str = 'test',
  baseline: str = tuning.TUNED,
  title: str = '',
) -> Any:
  """Accuracy and train loss over steps; a band of one standard deviation.

  Args:
    records: of one task, one an optimizer, as `make_table`.
    held: set whose accuracy is shown.
    baseline: the optimizer that must be there.
    title: above the figure; the task and its data by default.

  Returns:
    A matplotlib Figure with two panels; see `plots.save`. Jit: no.

  Raises:
    ValueError: as `make_table`, and records of several tasks.
    ImportError: without matplotlib.
  """
  columns = _arrange(records, held, baseline)
  if len(columns) != 1:
    raise ValueError(
      f'records must be of one task and its data, got {list(columns)}; draw '
      'one figure for each.'
    )
  (name, column), *_ = columns.items()
  figure = plots.new_figure((9.0, 3.6))
  panels = figure.subplots(1, 2)
  for i, optimizer in enumerate(_order(columns, baseline)):
    record = column[optimizer]
    style = _STYLES[i % len(_STYLES)]
    accuracy = 100 * _as_array(record['accuracy'][held])
    steps = record['steps']
    _draw_band(panels[0], steps, accuracy, optimizer, style)
    losses = _as_array(record['train_loss'])
    _draw_band(panels[1], steps, losses, optimizer, style)
  panels[0].set_ylabel(f'{held.replace("_", "-")} accuracy (%)')
  panels[1].set_ylabel('train cross-entropy (nats)')
  for panel in panels:
    panel.set_xlabel('optimizer step')
    panel.set_xlim(left=0)
    panel.grid(color='#dddddd', linewidth=0.6)
    panel.spines[['top', 'right']].set_visible(False)
  panels[0].legend(frameon=False, loc='lower right', fontsize=8)
  figure.suptitle(title or name)
  return figure


def group_by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
  """Records of one task, its data and steps, by what tables call them.

  Args:
    records: as `make_table`.

  Returns:
    {title: records}, in the order in which they first came. Jit: no.
  """
  groups: dict[str, list[Record]] = {}
  for record in records:
    groups.setdefault(_title(record), []).append(record)
  return groups


def _arrange(
  records: Sequence[Record], held: str, baseline: str
) -> dict[str, dict[str, Record]]:
  """{title of the column: {optimizer: record}}, checked."""
  if not records:
    raise ValueError(
      'records must hold at least one evaluation, got none; check the path of '
      'the file that records.read was given.'
    )
  for record in records:
    if held not in record['accuracy']:
      raise ValueError(
        f'no accuracy on {held!r} in the record of {record["optimizer"]!r} on '
        f'{record["task"]!r}, which has {sorted(record["accuracy"])}; evaluate '
        'it with held={' + repr(held) + ': ...}.'
      )
  columns = {
    title: {record['optimizer']: record for record in group}
    for title, group in group_by_task(records).items()
  }
  without = [t for t, column in columns.items() if baseline not in column]
  if without:
    raise ValueError(
      f'the baseline {baseline!r} is missing on {without}; add the records of '
      'tuning.for_report(tuning.tune_adam(...)), or name another baseline.'
    )
  return columns


def _title(record: Record) -> str:
  """Task, with its data where they are not the whole published set."""
  steps = f'{record["num_steps"]:,} steps'
  if 'subset' in record['data']:
    return f'{record["task"]} ({record["data"]}), {steps}'
  return f'{record["task"]}, {steps}'


def _order(
  columns: Mapping[str, Mapping[str, Record]], baseline: str
) -> list[str]:
  """Optimizers as they first came, the baseline before all."""
  found = [name for column in columns.values() for name in column]
  return list(dict.fromkeys((baseline, *found)))


def _show(record: Record | None, held: str) -> list[str]:
  """Cells of accuracy and time."""
  if record is None:
    return ['', '']
  last = 100 * _as_array(record['accuracy'][held])[:, -1]
  accuracy = f'{last.mean():.2f} ± {last.std():.2f}'
  num_frozen = sum(step >= 0 for step in record['frozen_at'])
  if num_frozen:
    accuracy += f' ({num_frozen} of {len(last)} not finite)'
  seconds = record.get('seconds_per_step')
  return [accuracy, '' if seconds is None else f'{1e3 * seconds:.3g}']


def _describe_column(title: str, column: Sequence[Record]) -> str:
  seeds = sorted({len(record['seeds']) for record in column})
  num_train = sorted({record['num_train'] for record in column})
  batch_sizes = sorted({record['batch_size'] for record in column})
  parts = {r['note'] for r in column if r.get('note')}
  noun = 'seed' if seeds == [1] else 'seeds'
  return (
    f'{title}: {_list(seeds)} {noun}, mean ± population standard deviation; '
    f'{_list(num_train)} training images, batches of {_list(batch_sizes)}.'
    + ''.join(f' A part of the published set: {note}.' for note in parts)
  )


def _list(numbers: Sequence[int]) -> str:
  return ' or '.join(f'{number:,}' for number in numbers)


def _join(cells: Sequence[str]) -> str:
  return '| ' + ' | '.join(cells) + ' |'


def _as_array(nested: Any) -> np.ndarray:
  """[num_seeds, num_tests] float64, NaN for None."""
  return np.array(nested, np.float64)


def _draw_band(
  panel: Any,
  steps: Sequence[int],
  values: np.ndarray,
  label: str,
  style: tuple[str, str],
) -> None:
  """A line for the mean and a band for the standard deviation."""
  colour, line = style
  mean, std = values.mean(axis=0), values.std(axis=0)
  panel.plot(steps, mean, color=colour, linestyle=line, label=label)
  panel.fill_between(
    steps, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0
  )
