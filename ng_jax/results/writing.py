# SPDX-License-Identifier: Apache-2.0
"""Puts tables between their markers in a text, and plots beside the records.

A table stands between `<!-- table: NAME:VARIANT -->` and `<!-- end of table
-->`; the text around it is written by hand and stays.
"""

from collections.abc import Callable, Sequence
import pathlib
import re

from ng_jax import plots
from ng_jax.results import driving
from ng_jax.results import markdown
from ng_jax.results import store
from ng_jax.results import summaries
from ng_jax.results import tables

END = '<!-- end of table -->'
_START = re.compile(
  r'^<!-- table: ([a-z0-9_]+):([a-z0-9_]+) -->$', re.MULTILINE
)
_BARS = 'bars: standard deviation over seeds; of one seed, standard error'
_CROSSES = 'crosses: single seeds'
# (name, variant) -> the table.
Find = Callable[[str, str], tables.Table]


def list_markers(text: str) -> list[tuple[str, str]]:
  """Tables that a text asks for.

  Args:
    text: Markdown.

  Returns:
    [(name, variant)] in their order. Jit: no.
  """
  return [(m.group(1), m.group(2)) for m in _START.finditer(text)]


def write_tables(text: str, find: Find, places: driving.Places) -> str:
  """Replaces what stands between the markers of a text.

  Args:
    text: Markdown with markers.
    find: gives the tables.
    places: of the repository and the records.

  Returns:
    The text with tables made from the records. Jit: no.

  Raises:
    ValueError: a marker without its end, or none at all.
  """
  pieces = _START.split(text)  # Text, name, variant, text, name, ...
  if len(pieces) == 1:
    raise ValueError(
      'the text must hold a marker such as <!-- table: '
      'inr_editing:two_cores -->, found none; write one, and '
      f'{END} after it.'
    )
  done = [pieces[0]]
  for i in range(1, len(pieces), 3):
    name, variant, rest = pieces[i : i + 3]
    _, end, after = rest.partition(END)
    if not end:
      raise ValueError(
        f'the table {name}:{variant} must end with {END}, found no such line '
        'before the next table; write it.'
      )
    table = find(name, variant)
    found = driving.counting_records(table, places)
    written = markdown.write(table, found)
    picture = picture_of(table, places.store)
    if found and picture.is_relative_to(places.root):
      link = picture.relative_to(places.root).as_posix()
      written += f'\n\n![{table.title}]({link})'
    done.append(
      f'<!-- table: {name}:{variant} -->\n\n{written}\n\n{END}{after}'
    )
  return ''.join(done)


def picture_of(table: tables.Table, folder: str | pathlib.Path) -> pathlib.Path:
  """File of the plot of a table, beside its records. Jit: no."""
  return pathlib.Path(folder) / f'{table.name}_{table.variant}.png'


def write_plots(
  all_tables: Sequence[tables.Table], places: driving.Places
) -> list[pathlib.Path]:
  """Draws every table that has records, from the records.

  Args:
    all_tables: to be drawn.
    places: of the repository and the records.

  Returns:
    Files written, beside the records. Jit: no.

  Raises:
    ImportError: without matplotlib.
  """
  paths = []
  for table in all_tables:
    found = driving.counting_records(table, places)
    metric = table.metrics[0]
    dots = [
      _dot(metric, row, store.seeds_of(found, row.name)) for row in table.rows
    ]
    measured = [dot for dot in dots if dot is not None]
    if measured:
      crosses = any(dot.values for dot in measured)
      note = f'{_BARS}\n{_CROSSES}' if crosses else _BARS
      figure = plots.dots(
        measured, title=table.title, xlabel=metric.label, note=note
      )
      paths.append(picture_of(table, places.store))
      plots.save(figure, paths[-1])
  return paths


def _dot(
  metric: tables.Metric, row: tables.Row, records: Sequence[store.Record]
) -> plots.Dot | None:
  summary = summaries.summarize(metric, records)
  if summary is None:
    return None
  errors = records[0].get('standard_errors', {})
  deviation = summary.deviation
  if summary.num_seeds == 1:
    deviation = errors.get(metric.name)
  data = f', {row.data}' if row.data else ''
  note = '' if summary.is_trained else ' (not trained)'
  return plots.Dot(
    label=f'{row.label}{data}{note}',
    mean=metric.scale * summary.mean,
    deviation=metric.scale * (deviation or 0.0),
    values=tuple(metric.scale * r['metrics'][metric.name] for r in records)
    if summary.num_seeds > 1
    else (),
    is_faint=not summary.is_trained,
  )
