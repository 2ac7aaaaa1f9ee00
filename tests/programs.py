# SPDX-License-Identifier: Apache-2.0
"""How the programs of tests are compiled, which is what takes their time.

LLVM's optimisations and XLA's fusion emitters are off, and a program is not
split for several threads: a third of the time to compile, and the arrays of the
tests are too small to notice. A test of what the usual optimisations do to
numbers asks for a usual program.

Most programs of the tests are single operations. Half of the time before XLA
gets one goes into the context that JAX makes for it, and some into the lines of
Python that it came from: all share one context here, and have no lines.
"""

from collections.abc import Callable
import functools
import os
from typing import Any

import jax
from jax._src.interpreters import mlir

# An option that XLA does not know ends the process; jax 0.12 has lost this one.
_HAS_FUSION_EMITTERS = jax.__version_info__ < (0, 11)
_CHEAP = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_parallel_codegen_split_count': 1,
  'xla_llvm_disable_expensive_passes': True,
}
_USUAL = {
  'xla_backend_optimization_level': 3,
  'xla_llvm_disable_expensive_passes': False,
}
if _HAS_FUSION_EMITTERS:
  _CHEAP['xla_cpu_use_fusion_emitters'] = False
  _USUAL['xla_cpu_use_fusion_emitters'] = True
# For whole runs, whose programs are run often: with fusion emitters.
RUNS = '--xla_backend_optimization_level=0'
_LINES = 'jax_traceback_in_locations_limit'


def make_cheap() -> None:
  """Compiles cheaply, in this process and, context aside, those it starts.

  To be called before JAX compiles its first program. What XLA_FLAGS already
  says stays as it is.
  """
  given = os.environ.get('XLA_FLAGS', '')
  cheap = [
    f'--{name}={str(value).lower()}'
    for name, value in _CHEAP.items()
    if name not in given
  ]
  os.environ['XLA_FLAGS'] = ' '.join([*cheap, given]).strip()
  os.environ[_LINES.upper()] = '0'
  jax.config.update(_LINES, 0)
  # Private to JAX: a version without it is slower, and right.
  if hasattr(mlir, 'make_ir_context'):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def with_devices(num_devices: int) -> dict[str, str]:
  """Environment of a process on so many devices of the CPU."""
  count = f'--xla_force_host_platform_device_count={num_devices}'
  return {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} {count}',
  }


def usual_jit(fn: Callable[..., Any]) -> Callable[..., Any]:
  """`jax.jit` with the optimisations that users get."""
  return jax.jit(fn, compiler_options=_USUAL)
