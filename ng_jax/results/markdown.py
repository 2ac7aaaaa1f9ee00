# SPDX-License-Identifier: Apache-2.0
"""A table of results as Markdown, from its definition and its records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ng_jax.results import scheduling
from ng_jax.results import store
from ng_jax.results import summaries
from ng_jax.results import tables

_Found = Mapping[tuple[str, int], store.Record]


def write(table: tables.Table, found: _Found) -> str:
  """Writes a table and what it was measured with.

  Args:
    table: to be written.
    found: its records, by row and seed; others do not count.

  Returns:
    Markdown: the table, the protocol, the measurement, and the command of the
    rows that are missing. Jit: no.
  """
  rows = [_cells(table, row, found) for row in table.rows]
  columns = _columns(table)
  shown = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
  lines = [
    _join(columns[i] for i in shown),
    _join('---' if i < 2 else '---:' for i in shown),
    *(_join(row[i] for i in shown) for row in rows),
  ]
  return '\n'.join([*lines, '', *_notes(table, found)])


def make_table_command(table: tables.Table) -> str:
  """The command that makes the missing rows of a table. Jit: no."""
  return (
    'python experiments/results.py --minutes=60 --workdir=runs/results \\\n'
    f'  --config=configs/results/{table.name}.py:{table.variant} \\\n'
    '  --image_dir=FOLDER'
  )


def _columns(table: tables.Table) -> list[str]:
  return [
    'method',
    'data',
    'parameters',
    'operations a network',
    *(metric.label for metric in table.metrics),
    'place',
    'seeds',
    'minutes a seed',
    table.paper_column,
  ]


def _cells(table: tables.Table, row: tables.Row, found: _Found) -> list[str]:
  records = store.seeds_of(found, row.name)
  first = summaries.summarize(table.metrics[0], records)
  minutes, measured = scheduling.estimate(row, found)
  return [
    row.label,
    row.data,
    _number(records, 'num_parameters'),
    _number(records, 'operations_per_network'),
    *(_value(table, row, metric, records) for metric in table.metrics),
    _place(table, row, found),
    str(len(records)) if records else '',
    _minutes(minutes) if first and measured else '',
    row.paper,
  ]


def _value(
  table: tables.Table,
  row: tables.Row,
  metric: tables.Metric,
  records: Sequence[store.Record],
) -> str:
  summary = summaries.summarize(metric, records)
  if summary is None:
    if metric != table.metrics[0]:
      return ''
    return f'not run: about {_time(row.minutes)}, `--rows={row.name}`'
  text = f'{metric.scale * summary.mean:.{metric.digits}f}'
  if summary.deviation is not None:
    text += f' ± {metric.scale * summary.deviation:.{metric.digits}f}'
  return text if summary.is_trained else f'not trained ({text})'


def _place(table: tables.Table, row: tables.Row, found: _Found) -> str:
  ranked = summaries.rank(
    table,
    {
      other.name: summaries.summarize(
        table.metrics[0], store.seeds_of(found, other.name)
      )
      for other in table.rows
    },
  )
  return str(ranked.get(row.name, ''))


def _number(records: Sequence[store.Record], name: str) -> str:
  known = [record[name] for record in records if record.get(name) is not None]
  return f'{known[-1]:,.0f}' if known else ''


def _time(minutes: float) -> str:
  if minutes >= 120:
    return f'{minutes / 60:,.0f} hours'
  return f'{minutes:.2g} min'


def _minutes(minutes: float) -> str:
  return f'{minutes:.1f}' if minutes < 10 else f'{minutes:,.0f}'


def _notes(table: tables.Table, found: _Found) -> list[str]:
  records = [r for row in table.rows for r in store.seeds_of(found, row.name)]
  notes = [_protocol(table, records)]
  if records:
    notes += ['', _measurement(records)]
  missing = [
    (row, seed)
    for row in table.rows
    for seed in range(table.num_seeds)
    if (row.name, seed) not in found
  ]
  if missing:
    total = sum(scheduling.estimate(row, found)[0] for row, _ in missing)
    notes += [
      '',
      f'{len(missing)} of {table.num_seeds * len(table.rows)} runs are '
      f'missing, about {_time(total)} on {table.hardware}:',
      '',
      '```sh',
      make_table_command(table),
      '```',
    ]
  return notes


def _protocol(table: tables.Table, records: Sequence[store.Record]) -> str:
  """What the rows have in common, and what ± stands for."""
  spread = 'one standard deviation over seeds'
  if any(metric.spread for metric in table.metrics):
    spread += '; of one seed, over the evaluations of its run'
  sizes = _distinct(
    ' / '.join(f'{count:,} {name}' for name, count in sorted(
      record['sizes'].items(), key=lambda item: -item[1]
    ))
    for record in records
    if 'sizes' in record
  )  # fmt: skip
  errors = [
    record['standard_errors'][metric.name] * metric.scale
    for record in records
    for metric in table.metrics[:1]
    if metric.name in record.get('standard_errors', {})
  ]
  parts = [table.protocol, f'± is {spread}.']
  if sizes:
    parts.append(f'Sizes of the splits: {"; ".join(sizes)}.')
  if errors:
    digits = table.metrics[0].digits
    parts.append(
      'Standard error of one run (for another test set, or other seeds of '
      f'the evaluation): at most {max(errors):.{digits}f}.'
    )
  return ' '.join(parts)


def _measurement(records: Sequence[store.Record]) -> str:
  """When, on what and with which versions."""
  dates = sorted({r['date'] for r in records if 'date' in r})
  days = f'{dates[0]} to {dates[-1]}' if len(dates) > 1 else ''.join(dates)
  hardware = _distinct(_describe(r['hardware']) for r in records
                       if 'hardware' in r)  # fmt: skip
  versions = _distinct(
    f'jax {r["packages"]["jax"]}'
    for r in records
    if 'jax' in r.get('packages', {})
  )
  parts = [part for part in (days, *hardware, *versions) if part]
  return f'Measured: {"; ".join(parts)}.'


def _describe(hardware: Any) -> str:
  """The devices that did the work; the processor where it is a CPU."""
  if isinstance(hardware, str):
    return hardware
  if hardware['devices'] == ['cpu']:
    cores = hardware['cores']
    return f'{hardware["cpu"]}, {cores} core{"s"[: cores > 1]}'
  return f'{hardware["num_devices"]} x {", ".join(hardware["devices"])}'


def _distinct(texts: Iterable[str]) -> list[str]:
  return list(dict.fromkeys(texts))


def _join(cells: Iterable[str]) -> str:
  return '| ' + ' | '.join(cells) + ' |'
