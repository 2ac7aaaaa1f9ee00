# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, and print what docs/performance.md quotes."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_ROWS = {
  'cold_start': {'import_beyond_jax', 'first_step_ng_gnn_cached'},
  'long_runs': {'wide_gradient', 'long_ff', 'pes_ff'},
  'memory': {'ng_t_11_nodes_batch_4_microbatch_2_remat'},
  'mixed_batches': {
    'ng_gnn_padded_edges',
    'ng_gnn_shapes',
    'ng_t_padded_pairs',
    'ng_t_layout_share',
    'ng_t_graphs',
  },
  'scaling': {'ng_t_widths_slope', 'ng_t_batches_slope'},
  'step_costs': {'ng_t_11_nodes'},
}


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(_ROWS))
def test_quick_run(name: str, tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'rows.jsonl'
  command = [sys.executable, str(_ROOT / 'benchmarks' / f'{name}.py')]
  command += ['--quick', '--seconds=0', f'--json={path}']
  if name == 'long_runs':
    command.append('--optimizers=gradient,ff')
  if name == 'scaling':
    command += ['--models=ng_t', f'--picture={tmp_path / "picture.png"}']
  result = subprocess.run(
    command,
    env=os.environ | {'PYTHONPATH': str(_ROOT), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert result.returncode == 0, result.stderr
  rows = {
    row['name']: row
    for row in map(json.loads, path.read_text(encoding='utf-8').splitlines())
  }
  assert set(rows) >= _ROWS[name]
  for row in rows.values():
    assert set(row) >= {'name', 'value', 'unit', 'calibration_gflops'}
    assert row['calibration_gflops'] > 0
  if name == 'mixed_batches':
    assert rows['ng_gnn_shapes']['value'] == 1
    assert rows['ng_t_shapes']['value'] <= 6
  if name == 'scaling':
    assert (tmp_path / 'picture.png').stat().st_size > 1000
