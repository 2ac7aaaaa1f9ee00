# SPDX-License-Identifier: Apache-2.0
"""`jit` for tests: compiling is what they spend their time on, so less of it.

LLVM's optimisations are off, and so are XLA's fusion emitters: a quarter of
the time to compile, and the arrays of the tests are too small to notice.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax

_OPTIONS = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
  'xla_llvm_disable_expensive_passes': True,
}


@functools.cache
def known_options() -> dict[str, Any]:
  """Those that the installed XLA knows; they come and go with its versions."""
  known = {}
  for name, value in _OPTIONS.items():
    try:
      jax.jit(lambda: 0.0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
      continue
    known[name] = value
  return known


def jit(fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
  """As `jax.jit`, compiling faster and to slower code."""
  return jax.jit(fn, compiler_options=known_options(), **options)
