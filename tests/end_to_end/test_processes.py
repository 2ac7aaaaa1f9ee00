# SPDX-License-Identifier: Apache-2.0
"""Two processes do what one does, with the binaries and one coordinator."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from ng_jax import optimizers
from ng_jax.data import cnn_zoo
from ng_jax.data import inr
from ng_jax.meta import records
from ng_jax.train import checkpoints
from ng_jax.train import logging as logging_lib
from ng_jax.train import meta_experiment
from ng_jax.train import meta_variants
from tests.data import zoo_files
from tests.end_to_end import binaries

CONFIGS = binaries.ROOT / 'configs'


def start(binary, arguments, shared, **environment):
  return subprocess.Popen(
    [sys.executable, str(binaries.ROOT / 'experiments' / binary), *arguments],
    env=binaries.environment(shared) | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def free_port():
  with socket.socket() as found:
    found.bind(('localhost', 0))
    return found.getsockname()[1]


def run_two(binary, arguments, shared, *, by_flags=True):
  """Runs two processes to the end; returns what they print."""
  address = f'localhost:{free_port()}'
  running = []
  for index in range(2):
    flags, environment = [], {}
    if by_flags:
      flags = [
        f'--coordinator_address={address}',
        '--num_processes=2',
        f'--process_index={index}',
      ]
    else:
      environment = {
        'JAX_COORDINATOR_ADDRESS': address,
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': str(index),
      }
    running.append(start(binary, [*arguments, *flags], shared, **environment))
  found = [process.communicate(timeout=500) for process in running]
  for process, (_, errors) in zip(running, found, strict=True):
    assert process.returncode == 0, errors
  return [text for text, _ in found], [errors for _, errors in found]


def last_lines(text):
  """What a binary prints, without what gloo does."""
  return [line for line in text.splitlines() if '[Gloo]' not in line]


def run_one(binary, arguments, shared):
  process = start(binary, arguments, shared)
  text, errors = process.communicate(timeout=500)
  assert process.returncode == 0, errors
  return text


def assert_alike(one, two, *, tolerance):
  lines = [logging_lib.read_metrics(x / 'metrics.jsonl') for x in (one, two)]
  assert [x['step'] for x in lines[0]] == [x['step'] for x in lines[1]]
  for a, b in zip(*lines, strict=True):
    assert set(a) == set(b)
    for name in set(a) - {'steps_per_second'}:
      np.testing.assert_allclose(
        a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name
      )


@pytest.mark.slow
@pytest.mark.parametrize(
  ('binary', 'config', 'by_flags'),
  [
    ('inr_classification', 'gnn', True),
    ('inr_editing', 'gnn', False),
    pytest.param('cnn_generalization', 'gnn', True, marks=pytest.mark.repeated),
  ],
)
def test_two_processes_train_as_one(binary, config, by_flags, shared, tmp_path):
  arguments = [
    f'--config={CONFIGS / binary / config}.py:smoke',
    f'--config.data.data_dir={shared / "data"}',
    '--config.log_every=1',
    '--config.microbatch_size=1',
    f'--workdir={tmp_path}/',
  ]

  def called(name):
    return [*arguments[:-1], arguments[-1] + name]

  file = f'{binary}.py'
  run_one(file, called('one'), shared)
  printed, errors = run_two(file, called('two'), shared, by_flags=by_flags)
  assert '2 process(es)' in errors[0]
  assert last_lines(printed[0]) == last_lines(printed[1])
  assert_alike(tmp_path / 'one', tmp_path / 'two', tolerance=1e-6)
  # One of them writes.
  assert len(list((tmp_path / 'two' / 'tensorboard').iterdir())) == 1
  if binary != 'inr_classification':
    return
  # A checkpoint of two processes is read by one.
  for name in ('one', 'two'):
    found = run_one(file, [*called(name), '--mode=evaluate'], shared)
    (tmp_path / f'{name}.txt').write_text(found)
  evaluated = [
    dict(line.split(': ') for line in (tmp_path / x).read_text().splitlines())
    for x in ('one.txt', 'two.txt')
  ]
  for name, value in evaluated[0].items():
    assert float(value) == pytest.approx(
      float(evaluated[1][name]), rel=1e-5, abs=1e-5
    )


def meta_states(workdir, config):
  """Leaves of the last checkpoint, states of the estimators included."""
  experiment = meta_experiment.prepare(config)
  with checkpoints.CheckpointStore(workdir / 'checkpoints') as store:
    state = store.restore(jax.eval_shape(experiment.init), step=4)
  return jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))


@pytest.mark.slow
def test_two_processes_meta_train_as_one(shared, tmp_path):
  arguments = [
    f'--config={CONFIGS / "learned_optimizer" / "ff"}.py:smoke',
    '--config.estimator.num_particles=2',
    '--config.log_every=1',
  ]
  file = 'learned_optimizer.py'
  one, two = tmp_path / 'one', tmp_path / 'two'
  run_one(file, [*arguments, f'--workdir={one}'], shared)
  printed, errors = run_two(file, [*arguments, f'--workdir={two}'], shared)
  assert '2 process(es)' in errors[0]
  assert last_lines(printed[0]) == last_lines(printed[1])
  assert_alike(one, two, tolerance=1e-6)
  theta = [
    jax.tree.leaves(optimizers.read(x / 'theta.safetensors').theta)
    for x in (one, two)
  ]
  config = meta_variants.make_config('ff', 'smoke')
  config.estimator.num_particles = 2
  states = [meta_states(x, config) for x in (one, two)]
  for a, b in zip(*theta, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
  for a, b in zip(*states, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
  # One of them writes, and one process goes on from there.
  assert len(records.read(two / 'records.jsonl')) == 1
  run_one(
    file, [*arguments, f'--workdir={two}', '--config.num_steps=6'], shared
  )
  lines = logging_lib.read_metrics(two / 'metrics.jsonl')
  assert lines[-1]['step'] == 6


@pytest.mark.slow
@pytest.mark.parametrize(
  ('binary', 'config', 'data'),
  [
    ('make_inr_dataset', 'siren', inr),
    ('make_cnn_zoo', 'wild_park', cnn_zoo),
  ],
)
def test_two_processes_make_the_data_of_one(
  binary, config, data, shared, tmp_path
):
  arguments = [f'--config={CONFIGS / binary / config}.py:smoke']
  if binary == 'make_inr_dataset':
    arguments.append('--config.chunk_size=16')
  file = f'{binary}.py'
  run_one(file, [*arguments, f'--workdir={tmp_path / "one"}'], shared)
  printed, errors = run_two(
    file, [*arguments, f'--workdir={tmp_path / "two"}'], shared
  )
  assert last_lines(printed[0]) == last_lines(printed[1])
  assert all('0 of' in text for text in errors)
  folders = [next((tmp_path / name).iterdir()) for name in ('one', 'two')]
  names = [
    {str(x.relative_to(folder)) for x in folder.rglob('*')}
    for folder in folders
  ]
  assert names[0] == names[1]
  assert not any('.tmp' in name for name in names[0])
  made = [data.load(folder) for folder in folders]
  for name, split in made[0].splits.items():
    a, b = (jax.tree.leaves(vars(x)) for x in (split, made[1].splits[name]))
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
      np.testing.assert_array_equal(x, y)
  cards = [json.loads((folder / 'card.json').read_text()) for folder in folders]
  assert cards[0]['settings'] == cards[1]['settings']


@pytest.mark.slow
def test_two_processes_convert_what_one_does(shared, tmp_path):
  (tmp_path / 'files').mkdir()
  zoo_files.write_small_zoo(tmp_path / 'files')
  arguments = [
    f'--config={CONFIGS}/convert_dataset/published.py:smoke',
    f'--config.source_dir={tmp_path / "files"}',
    f'--workdir={tmp_path}/',
  ]
  file = 'convert_dataset.py'
  run_one(file, [*arguments[:-1], arguments[-1] + 'one'], shared)
  _, errors = run_two(file, [*arguments[:-1], arguments[-1] + 'two'], shared)
  assert ['0 of 2' in errors[0], '0 of 2' in errors[1]] == [True, True], errors
  contents = [
    {
      x.relative_to(tmp_path / name).as_posix(): x.read_bytes()
      for x in sorted((tmp_path / name).rglob('*'))
      if x.is_file()
    }
    for name in ('one', 'two')
  ]
  assert contents[0] == contents[1]
  assert any('array_record-00000-of-' in name for name in contents[0])


@pytest.mark.slow
def test_sigterm_stops_both_processes_after_one_step(shared, tmp_path):
  arguments = [
    f'--config={CONFIGS}/inr_classification/gnn.py:smoke',
    f'--config.data.data_dir={shared / "data"}',
    '--config.num_steps=100000',
    '--config.eval_every=100000',
    '--config.log_every=10',
    f'--workdir={tmp_path / "run"}',
  ]
  address = f'localhost:{free_port()}'
  running = [
    start(
      'inr_classification.py',
      [
        *arguments,
        f'--coordinator_address={address}',
        '--num_processes=2',
        f'--process_index={index}',
      ],
      shared,
    )
    for index in range(2)
  ]
  metrics = tmp_path / 'run' / 'metrics.jsonl'
  while not (metrics.exists() and metrics.stat().st_size):
    assert all(process.poll() is None for process in running)
  running[1].terminate()
  errors = [process.communicate(timeout=300)[1] for process in running]
  assert [process.returncode for process in running] == [143, 143], errors
  (step,) = os.listdir(tmp_path / 'run' / 'checkpoints')
  for text in errors:
    assert f'Asked to stop: saved at step {step}' in text
