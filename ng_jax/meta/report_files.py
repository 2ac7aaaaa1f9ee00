# SPDX-License-Identifier: Apache-2.0
"""Tables and curves of records as files: Markdown and pictures."""

from collections.abc import Sequence
import pathlib
import re

from absl import logging

from ng_jax import plots
from ng_jax.meta import reports
from ng_jax.meta import tuning

# A table of more tasks has them as rows.
_MAX_COLUMNS = 3


def write(
  records: Sequence[reports.Record],
  folder: str | pathlib.Path,
  *,
  held: str = 'test',
) -> list[pathlib.Path]:
  """Writes tables.md and a picture of curves for each task.

  Adam stands beside all others: the tuned one where every task has it, else
  Adam as it comes.

  Args:
    records: as `reports.make_table`.
    folder: is made where it is missing.
    held: set whose accuracy is shown.

  Returns:
    Paths of the files; no pictures without matplotlib. Jit: no.

  Raises:
    ValueError: as `reports.make_table`.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  baseline = _baseline(records)
  groups = reports.group_by_task(records)
  make = (
    reports.make_table
    if len(groups) <= _MAX_COLUMNS
    else reports.make_task_table
  )
  table = make(records, held=held, baseline=baseline)
  paths = [folder / 'tables.md']
  partial = folder / '.part-tables.md'
  partial.write_text(table, encoding='utf-8')
  partial.replace(paths[0])
  for title, group in groups.items():
    try:
      figure = reports.draw_curves(group, held=held, baseline=baseline)
    except ImportError:
      logging.warning('matplotlib is not installed, so no curves are drawn.')
      break
    name = re.sub(r'[^a-z0-9]+', '_', title.lower()).strip('_')
    paths.append(folder / 'pictures' / f'{name}.png')
    plots.save(figure, paths[-1])
  return paths


def _baseline(records: Sequence[reports.Record]) -> str:
  groups = reports.group_by_task(records).values()
  names = [{record['optimizer'] for record in group} for group in groups]
  is_tuned = all(tuning.TUNED in found for found in names)
  return tuning.TUNED if is_tuned else tuning.UNTUNED
