# SPDX-License-Identifier: Apache-2.0
"""Makes the record of a finished run from its workdir alone."""

from collections.abc import Mapping
import json
import math
import pathlib
from typing import Any

from ng_jax.meta import records as records_lib
from ng_jax.results import commands
from ng_jax.results import tables
from ng_jax.train import logging as logging_lib
from ng_jax.train import provenance

# What a run does not say for itself where it was made before provenance.jsonl;
# whoever collects it may.
STATABLE = (
  'date',
  'hardware',
  'num_parameters',
  'packages',
  'seconds',
  'sizes',
)


def is_finished(table: tables.Table, workdir: str | pathlib.Path) -> bool:
  """Whether a run has its test metrics.

  Args:
    table: with the metrics.
    workdir: of the run; it may be missing.

  Returns:
    Whether the last line of metrics.jsonl holds the table's first metric.
    Jit: no.
  """
  lines = logging_lib.read_metrics(pathlib.Path(workdir) / 'metrics.jsonl')
  return bool(lines) and table.metrics[0].name in lines[-1]


def fraction_done(workdir: str | pathlib.Path) -> float:
  """How much of its training a run has made, as its last metrics say.

  Args:
    workdir: of the run; it may be missing.

  Returns:
    Between 0 and 1; 0 where it is not known. Jit: no.
  """
  workdir = pathlib.Path(workdir)
  lines = logging_lib.read_metrics(workdir / 'metrics.jsonl')
  num_steps = provenance.read(workdir).get('num_steps', 0)
  if not lines or not num_steps:
    return 0.0
  return min(lines[-1]['step'] / num_steps, 1.0)


def collect(
  table: tables.Table,
  row: tables.Row,
  workdir: str | pathlib.Path,
  *,
  root: pathlib.Path,
  stated: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """Makes the record of a finished run.

  Args:
    table: of the row.
    row: whose run it is.
    workdir: of the run.
    root: of the repository, with configs/.
    stated: what the workdir does not say, some of `STATABLE`; the record lists
      them under 'stated'.

  Returns:
    JSON types: table, variant, row, seed, command, config, settings (its
    fingerprint), date, python, packages, hardware, sizes of the splits,
    num_parameters, num_steps, best_step, calls, seconds, seconds_preparing,
    metrics, standard_errors, stated. Jit: no.

  Raises:
    ValueError: a run that is not finished, or has other settings than the row;
      a stated fact that is unknown or that the workdir has.
  """
  workdir = pathlib.Path(workdir)
  config = _read_config(workdir)
  if not is_finished(table, workdir):
    raise ValueError(
      f'the run in {workdir} must be finished, but the last line of its '
      f'metrics.jsonl has no {table.metrics[0].name!r}; run its command again.'
    )
  wanted = commands.resolve(table, row, root)
  wrong = commands.differences(config, wanted)
  if wrong:
    raise ValueError(
      f'the run in {workdir} must have the settings of the row {row.name!r} of '
      f'{table.name}:{table.variant}, but it has\n  '
      + '\n  '.join(wrong)
      + '\nName the row whose run it is, or change the row.'
    )
  facts = _facts(workdir, stated or {})
  metrics = _last_metrics(workdir) | _measured_after(table, workdir)
  return {
    'table': table.name,
    'variant': table.variant,
    'row': row.name,
    'seed': config['seed'],
    'command': _shown_command(table, row, config),
    'settings': commands.fingerprint(config),
    **facts,
    'num_steps': int(metrics['step']),
    'metrics': metrics,
    'standard_errors': standard_errors(metrics, facts.get('sizes', {}), config),
    'config': commands.without_places(config),
  }


def standard_errors(
  metrics: Mapping[str, float],
  sizes: Mapping[str, int],
  config: Mapping[str, Any],
) -> dict[str, float]:
  """Standard errors of the test metrics of one run.

  Args:
    metrics: of the run.
    sizes: of its splits.
    config: of the run.

  Returns:
    Of an accuracy, as a share of sizes['test'] answers; of Kendall's tau, the
    bound sqrt(2 (1 - tau^2) / n) (Kendall & Gibbons, 1990, chapter 4); of a
    learned optimizer's accuracy, from its deviation over the seeds of the
    evaluation. Jit: no.
  """
  found = {}
  count = sizes.get('test', 0)
  num_seeds = config.get('evaluation', {}).get('num_seeds', 0)
  for name, value in metrics.items():
    if name.startswith('test_std_') and num_seeds > 1:
      accuracy = name.replace('test_std_', 'test_accuracy_')
      found[accuracy] = value / math.sqrt(num_seeds - 1)
    elif name == 'test_accuracy' and count and not num_seeds:
      found[name] = math.sqrt(max(value * (1 - value), 0.0) / count)
    elif name == 'test_tau' and count:
      found[name] = math.sqrt(max(2 * (1 - value * value), 0.0) / count)
  return {name: round(error, 6) for name, error in found.items()}


def _read_config(workdir: pathlib.Path) -> dict[str, Any]:
  path = workdir / 'config.json'
  if not path.exists():
    raise ValueError(
      f'{workdir} must be the workdir of a run, but it has no config.json; '
      'name the folder that was given to the binary as --workdir.'
    )
  config: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
  return config


def _facts(workdir: pathlib.Path, stated: Mapping[str, Any]) -> dict[str, Any]:
  """What the run noted, and what else was stated."""
  unknown = sorted(set(stated) - set(STATABLE))
  if unknown:
    raise ValueError(
      f'only {sorted(STATABLE)} may be stated, got {unknown}; the rest comes '
      'from the workdir.'
    )
  noted = provenance.read(workdir)
  noted.pop('num_steps', None)
  both = sorted(set(stated) & set(noted))
  if both:
    raise ValueError(
      f'{both} must not be stated: {workdir / provenance.FILE} has them.'
    )
  return {**noted, **stated, **({'stated': sorted(stated)} if stated else {})}


def _last_metrics(workdir: pathlib.Path) -> dict[str, float]:
  """The last line of metrics.jsonl, and the time of a step of records.jsonl."""
  found = logging_lib.read_metrics(workdir / 'metrics.jsonl')[-1]
  measured = records_lib.read(workdir / 'records.jsonl')
  seconds = [r['seconds_per_step'] for r in measured if 'seconds_per_step' in r]
  if seconds and seconds[0] is not None:
    found['seconds_per_step'] = seconds[0]
  return found


def _measured_after(
  table: tables.Table, workdir: pathlib.Path
) -> dict[str, float]:
  """Numbers of the table's modes, as far as they were run."""
  found: dict[str, float] = {}
  for mode in table.modes:
    path = workdir / f'{mode}.json'
    if path.exists():
      found |= json.loads(path.read_text(encoding='utf-8'))
  return found


def _shown_command(
  table: tables.Table, row: tables.Row, config: Mapping[str, Any]
) -> str:
  """The command with FOLDER in place of the folders of this machine."""
  images = config.get('data', {}).get('image_dir')
  places = ['data.image_dir=FOLDER'] if images else []
  arguments = commands.make_command(
    table, row, seed=config['seed'], workdir='RUN', places=places
  )
  return ' '.join(['python', *arguments])
