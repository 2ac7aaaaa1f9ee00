# SPDX-License-Identifier: Apache-2.0
"""Tables of results: rows of runs, made within a budget, written from records.

A table is named rows, each an experiment's binary with a config; a row is run
with several seeds. Every finished run leaves one record, and tables and plots
are made from records alone.
"""

from ng_jax.results.collecting import collect
from ng_jax.results.driving import run_missing
from ng_jax.results.store import add
from ng_jax.results.store import read
from ng_jax.results.tables import from_config
from ng_jax.results.tables import make_config
from ng_jax.results.tables import Metric
from ng_jax.results.tables import Row
from ng_jax.results.tables import Table
from ng_jax.results.writing import write_plots
from ng_jax.results.writing import write_tables

__all__ = (
  'Metric',
  'Row',
  'Table',
  'add',
  'collect',
  'from_config',
  'make_config',
  'read',
  'run_missing',
  'write_plots',
  'write_tables',
)
