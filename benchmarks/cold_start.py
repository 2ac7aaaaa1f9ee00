# SPDX-License-Identifier: Apache-2.0
"""Time to import ng_jax, and to the end of the first training step.

`import_beyond_jax` is what `import ng_jax` takes in a fresh process that has
imported jax; the least of several. `first_step_<model>` is the first training
step of the INR classifier in a fresh process, from tracing to its result;
`_cached` is the same with the programs of an earlier process in the persistent
compilation cache, which the binaries use.

python benchmarks/cold_start.py --json=FILE
"""

from collections.abc import Sequence
import json
import os
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import jax
import reporting
import training

from ng_jax import networks
from ng_jax.train import devices

_QUICK = flags.DEFINE_bool('quick', False, 'A tiny model, for tests.')
_FIRST_STEP = flags.DEFINE_string(
  'first_step', '', 'Only time the first step of this model, here and now.'
)
_NUM_IMPORTS = 5
_IMPORT = """
import time
import jax
wall, cpu = time.perf_counter(), time.process_time()
import ng_jax
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def _import_seconds() -> tuple[float, float]:
  """Wall and processor time, each the least of several processes."""
  found = []
  for _ in range(_NUM_IMPORTS):
    output = subprocess.run(
      [sys.executable, '-c', _IMPORT],
      check=True,
      capture_output=True,
      text=True,
    ).stdout
    found.append([float(x) for x in output.split()])
  return min(x[0] for x in found), min(x[1] for x in found)


def _time_first_step(model: str) -> None:
  """Prints wall and processor time of the first step in this process."""
  devices.use_compilation_cache()
  network = networks.Siren((2, 4, 4, 1)) if _QUICK.value else networks.Siren()
  options = {'num_layers': 1} if _QUICK.value else {}
  step = training.make(
    model, network, batch_size=128, microbatch_size=4, **options
  )
  arguments = jax.block_until_ready(training.fill(step, network))
  wall, cpu = time.perf_counter(), time.process_time()
  jax.block_until_ready(jax.jit(step.step)(*arguments))
  print(
    json.dumps([time.perf_counter() - wall, time.process_time() - cpu]),
    flush=True,
  )


def _first_step_seconds(model: str, cache: str) -> tuple[float, float]:
  """Runs `_time_first_step` in a process of its own."""
  output = subprocess.run(
    [
      sys.executable,
      __file__,
      f'--first_step={model}',
      f'--quick={_QUICK.value}',
    ],
    check=True,
    capture_output=True,
    text=True,
    env=os.environ | {'XDG_CACHE_HOME': cache, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  ).stdout
  wall, cpu = json.loads(output.strip().split('\n')[-1])
  return wall, cpu


def main(argv: Sequence[str]) -> None:
  """Measures and prints all rows."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  if _FIRST_STEP.value:
    _time_first_step(_FIRST_STEP.value)
    return
  wall, cpu = _import_seconds()
  reporting.emit('import_beyond_jax', wall, 's', cpu_s=round(cpu, 3))
  for model in ('ng_gnn',) if _QUICK.value else ('ng_gnn', 'ng_t'):
    with tempfile.TemporaryDirectory() as cache:
      for name in (f'first_step_{model}', f'first_step_{model}_cached'):
        wall, cpu = _first_step_seconds(model, cache)
        reporting.emit(name, wall, 's', cpu_s=round(cpu, 2))


if __name__ == '__main__':
  app.run(main)
