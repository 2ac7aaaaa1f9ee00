# SPDX-License-Identifier: Apache-2.0
"""Rows of a benchmark, times beside processor times; no benchmark itself.

Other programs on the machine lengthen the wall time of a call and hardly its
processor time, which is summed over the cores; both are the least of several.
"""

from collections.abc import Callable
import functools
import json
import time
from typing import Any, NamedTuple

from absl import flags
import jax
import peers  # Defines --json and --seconds.


class Seconds(NamedTuple):
  """Of one call, each the least of several.

  Attributes:
    wall: by the clock.
    cpu: of all cores together.
  """

  wall: float
  cpu: float


@functools.cache
def _calibration() -> float:
  return round(peers.calibration_gflops(), 1)


def emit(name: str, value: float, unit: str, **extra: Any) -> None:
  """Prints a row and appends it to the file of --json."""
  row = {
    'name': name,
    'value': value if isinstance(value, int) else float(f'{value:.4g}'),
    'unit': unit,
    'calibration_gflops': _calibration(),
    **extra,
  }
  line = json.dumps(row)
  print(line, flush=True)
  if flags.FLAGS.json:
    with open(flags.FLAGS.json, 'a', encoding='utf-8') as file:
      file.write(line + '\n')


def measure(call: Callable[[], Any], *, least: int = 3) -> Seconds:
  """Calls until --seconds have passed, at least `least` times."""
  jax.block_until_ready(call())  # Compiles.
  walls: list[float] = []
  cpus: list[float] = []
  while len(walls) < least or sum(walls) < flags.FLAGS.seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    walls.append(time.perf_counter() - wall)
    cpus.append(time.process_time() - cpu)
  return Seconds(min(walls), min(cpus))
