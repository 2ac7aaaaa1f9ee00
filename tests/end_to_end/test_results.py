# SPDX-License-Identifier: Apache-2.0
"""The driver runs a smoke table from nothing to a text with a table."""

import json

import pytest

from tests.end_to_end import binaries

_CONFIG = binaries.ROOT / 'configs' / 'results' / 'inr_classification_mnist.py'


def call(tmp_path, shared, *arguments):
  return binaries.succeed(
    'results.py',
    f'--config={_CONFIG}:smoke',
    '--workdir=runs',
    '--store=store',
    f'--data_dir={shared / "data"}',
    *arguments,
    shared=shared,
    cwd=tmp_path,
  )


@pytest.mark.slow
def test_a_table_from_nothing(shared, tmp_path):
  report = tmp_path / 'report.md'
  report.write_text(
    '<!-- table: inr_classification_mnist:smoke -->\n<!-- end of table -->\n'
  )
  call(tmp_path, shared, '--minutes=20')
  lines = (tmp_path / 'store/inr_classification_mnist.jsonl').read_text()
  found = [json.loads(line) for line in lines.splitlines()]
  assert [record['row'] for record in found] == ['mlp', 'statnn', 'probing']
  assert all(record['operations_per_network'] > 0 for record in found)
  assert found[2]['metrics']['permuted_agreement'] == 1.0
  assert call(tmp_path, shared, '--mode=cost')[-1].startswith('0 runs')
  written = call(tmp_path, shared, '--mode=write', '--report=report.md')
  assert written[0] == 'report.md'
  assert '| MLP | 1,026 |' in report.read_text()
  assert (tmp_path / 'store/inr_classification_mnist_smoke.png').exists()
