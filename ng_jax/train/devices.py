# SPDX-License-Identifier: Apache-2.0
"""Placement: which devices work, what lies on them, where programs are kept.

One device runs a step under `jit`; several run the same step under `pmap`,
with the state and the data set replicated and the index vector split.
"""

from collections.abc import Callable, Sequence
import hashlib
import os
import pathlib
import platform
from typing import Any

import jax
import numpy as np

from ng_jax import processes

AXIS_NAME = 'devices'
# Step = (state, data, index [num_rows], axis_name=...) -> tree of results.
Step = Callable[..., Any]


def make_parallel_step(
  step: Step, devices: Sequence[jax.Device], *, donate_state: bool
) -> Step:
  """Runs a per-device step on several devices at once, with `pmap`.

  Args:
    step: pure function (state, data, index, *, axis_name) of one device, whose
      results are equal on all devices once it has reduced over axis_name.
    devices: local devices to run on, as many in every process.
    donate_state: whether the memory of the state may be reused.

  Returns:
    A function (state, data, index) with index [num_devices, rows] int32, of
    this process; state, data and results are not stacked.
  """

  def run(state: Any, data: Any, index: jax.Array) -> Any:
    return step(state, data, index, axis_name=AXIS_NAME)

  return jax.pmap(
    run,
    axis_name=AXIS_NAME,
    in_axes=(None, None, 0),
    out_axes=None,
    devices=of_all_processes(devices),
    donate_argnums=(0,) if donate_state else (),
  )


def of_all_processes(devices: Sequence[jax.Device]) -> list[jax.Device]:
  """As many devices of every process, process by process.

  Args:
    devices: local ones, those of this process alone.

  Returns:
    The devices of all processes in one order, the same in each. Jit: no.

  Raises:
    ValueError: processes with other numbers of devices.
  """
  if processes.share().count == 1:
    return list(devices)
  found = [
    [d for d in jax.devices() if d.process_index == number][: len(devices)]
    for number in range(processes.share().count)
  ]
  numbers = [len(part) for part in found]
  if set(numbers) != {len(devices)}:
    raise ValueError(
      f'every process must work on {len(devices)} devices, as this one does, '
      f'but they have {numbers}; give num_devices what all of them have.'
    )
  return [device for part in found for device in part]


def make_step(
  step: Step, devices: Sequence[jax.Device], *, donate_state: bool = False
) -> Step:
  """Runs a per-device step on one or several devices.

  Args:
    step: see `make_parallel_step`.
    devices: local devices to run on; with one (and one process) the step is
      jitted with axis_name=None.
    donate_state: whether the memory of the state may be reused.

  Returns:
    A function (state, data, index) with index [rows] int32 numpy, the whole
    batch of all processes; rows must divide by the number of devices.
  """
  share = processes.share()
  if share.count == 1 and len(devices) == 1:

    def run(state: Any, data: Any, index: np.ndarray) -> Any:
      return step(state, data, index, axis_name=None)

    return jax.jit(run, donate_argnums=(0,) if donate_state else ())
  parallel = make_parallel_step(step, devices, donate_state=donate_state)

  def split(state: Any, data: Any, index: np.ndarray) -> Any:
    slices = index.reshape(share.count, len(devices), -1)
    return parallel(state, data, slices[share.index])

  return split


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Copies arrays to every device once, so that no step has to.

  Args:
    tree: arrays.
    devices: those of `make_step`, or of all processes.

  Returns:
    The same tree on the devices.
  """
  mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS_NAME,))
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  return processes.put(tree, sharding)


def choose(num_devices: int) -> list[jax.Device]:
  """Takes the first local devices.

  Args:
    num_devices: how many; 0 for all.

  Returns:
    The devices.

  Raises:
    ValueError: fewer are present.
  """
  devices = jax.local_devices()
  if not 0 <= num_devices <= len(devices):
    raise ValueError(
      f'num_devices must lie between 0 (all) and {len(devices)}, the number of '
      f'local {devices[0].platform} devices, got {num_devices}.'
    )
  return devices[:num_devices] if num_devices else devices


def report() -> str:
  """One line on the devices of this run, for the start of a log."""
  devices = jax.local_devices()
  count = processes.share().count
  return (
    f'jax {jax.__version__}, {len(devices)} local {devices[0].platform} '
    f'device(s) ({devices[0].device_kind}), {count} process(es)'
  )


def use_compilation_cache() -> pathlib.Path:
  """Keeps compiled programs in the user's cache folder between runs.

  Called by binaries, never by the library. Programs are kept per processor
  type, because a home folder may be shared by machines. A binary that calls
  this sets TF_CPP_MIN_LOG_LEVEL=3 before it imports jax: XLA keeps tuning hints
  among the features of the processor and then logs, on that very processor,
  that they are not supported: a page of errors that mean nothing.

  Returns:
    $XDG_CACHE_HOME/ng_jax/<processor> or ~/.cache/ng_jax/<processor>.
  """
  root = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  folder = pathlib.Path(root) / 'ng_jax' / _processor()
  jax.config.update('jax_compilation_cache_dir', str(folder))
  return folder


def _processor() -> str:
  """Hash of what the processor is and can do."""
  text = f'{platform.machine()} {platform.processor()}'
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    lines = cpuinfo.read_text(encoding='utf-8').splitlines()
    names = ('model name', 'flags', 'Features', 'CPU part')
    text += ''.join(sorted({x for x in lines if x.startswith(names)}))
  return hashlib.sha256(text.encode()).hexdigest()[:12]
