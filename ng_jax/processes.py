# SPDX-License-Identifier: Apache-2.0
"""Several processes that do one job: how they start, who writes, who waits.

Every binary calls `define_flags` when it is imported and `start` before it asks
JAX for anything. A process is then one of `count()` that run the same command,
each with devices of its own. All of them see one workdir and one data_dir, on a
file system that they share; the first of them writes.
"""

from collections.abc import Callable
import dataclasses
import os
from typing import Any

from absl import flags
import jax
import numpy as np

# Flag -> environment variable that stands for it, by JAX's own names.
VARIABLES = {
  'coordinator_address': 'JAX_COORDINATOR_ADDRESS',
  'num_processes': 'JAX_NUM_PROCESSES',
  'process_index': 'JAX_PROCESS_ID',
}
AUTOMATIC = 'auto'


@dataclasses.dataclass(frozen=True)
class Share:
  """Which part of a job is this process's.

  Attributes:
    index: of the process, from 0.
    count: of the processes.
  """

  index: int
  count: int


def define_flags() -> Callable[..., Share]:
  """Defines --coordinator_address, --num_processes and --process_index.

  For binaries; called once, when they are imported.

  Returns:
    A function that calls `start` with the flags, to be called after they were
    parsed; it takes `independent` and returns what `start` does. Jit: no.
  """
  coordinator_address = flags.DEFINE_string(
    'coordinator_address',
    None,
    'host:port of the first of several processes that share one job, the same '
    f"for all; '{AUTOMATIC}' on clusters that JAX knows (Cloud TPU, Slurm). Or "
    f'the variable {VARIABLES["coordinator_address"]}.',
  )
  num_processes = flags.DEFINE_integer(
    'num_processes',
    None,
    f'How many they are. Or the variable {VARIABLES["num_processes"]}.',
  )
  process_index = flags.DEFINE_integer(
    'process_index',
    None,
    'Number of this one, from 0. Or the variable '
    f'{VARIABLES["process_index"]}.',
  )
  return lambda *, independent=False: start(
    coordinator_address.value,
    num_processes.value,
    process_index.value,
    independent=independent,
  )


def start(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_index: int | None = None,
  *,
  independent: bool = False,
) -> Share:
  """Joins the other processes; does nothing for a process that is alone.

  To be called before JAX is asked for devices. Waits for the others.

  Args:
    coordinator_address: host:port of the first process, or 'auto'.
    num_processes: that share the job.
    process_index: of this one, from 0. What is None is taken from the
      environment, see `VARIABLES`.
    independent: whether the processes may also do their shares without a
      coordinator, each when it can.

  Returns:
    The share of this process.

  Raises:
    ValueError: only some of the three are given, or a process that is none of
      them. Jit: no.
  """
  address = coordinator_address or os.environ.get(
    VARIABLES['coordinator_address']
  )
  if address == AUTOMATIC:
    jax.distributed.initialize()
    return share()
  count = _number('num_processes', num_processes)
  index = _number('process_index', process_index)
  given = {
    'coordinator_address': address,
    'num_processes': count,
    'process_index': index,
  }
  missing = [name for name, value in given.items() if value is None]
  if len(missing) == len(given):
    return Share(0, 1)
  if missing and not (independent and missing == ['coordinator_address']):
    raise ValueError(
      'several processes need --coordinator_address, --num_processes and '
      f'--process_index (or the variables {sorted(VARIABLES.values())}), but '
      f'{missing} are not given; give all three, or none for one process.'
    )
  if count is None or index is None or not 0 <= index < count:
    raise ValueError(
      'process_index must be between 0 and num_processes - 1, got '
      f'process_index={index} and num_processes={count}; number the processes '
      'from 0.'
    )
  if address is not None:
    jax.distributed.initialize(address, count, index)
  return Share(index, count)


def share() -> Share:
  """Which part of the job is this process's. Jit: static."""
  return Share(jax.process_index(), jax.process_count())


def is_first() -> bool:
  """Whether this process is the one that writes. Jit: static."""
  return jax.process_index() == 0


def wait(name: str) -> None:
  """Waits until all processes are here; returns at once for one alone.

  Args:
    name: of the place, the same in all processes.

  Jit: no.
  """
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def put(tree: Any, sharding: jax.sharding.Sharding) -> Any:
  """As `jax.device_put`, also onto the devices of several processes.

  Args:
    tree: of arrays, the same and whole in every process, or already on the
      devices of the sharding, perhaps spread otherwise.
    sharding: of each of them.

  Returns:
    The tree on the devices. What lies there already is not copied. Jit: no.
  """
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda x: _put_leaf(x, sharding), tree)


def _put_leaf(x: Any, sharding: jax.sharding.Sharding) -> jax.Array:
  if isinstance(x, jax.Array):
    if x.sharding == sharding:
      return x
    if not x.is_fully_addressable:
      return jax.jit(lambda y: y, out_shardings=sharding)(x)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      data = _put_leaf(jax.random.key_data(x), sharding)
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
  host = np.asarray(x)
  return jax.make_array_from_callback(
    host.shape, sharding, lambda index: host[index]
  )


def to_host(x: Any) -> np.ndarray:
  """Copies an array to the host, also one that several processes share out.

  Args:
    x: an array; where its parts lie in several processes, all of them call
      this.

  Returns:
    All of it. Jit: no.
  """
  if isinstance(x, jax.Array) and not (
    x.is_fully_addressable or x.is_fully_replicated
  ):
    from jax.experimental import multihost_utils

    x = multihost_utils.process_allgather(x, tiled=True)
  return np.array(x, copy=True)


def _number(name: str, value: int | None) -> int | None:
  text = os.environ.get(VARIABLES[name])
  if value is not None or text is None:
    return value
  if not text.isdecimal():
    raise ValueError(
      f'the variable {VARIABLES[name]} must be a number, got {text!r}; correct '
      f'it or give --{name}.'
    )
  return int(text)
