# SPDX-License-Identifier: Apache-2.0
"""What all learned optimizers are: parameters in, an optax transformation out.

A learned optimizer is a function of its own parameters, *theta*, and of the
optimizee's parameters and gradients. Theta stays outside of the
transformation's state, so that it can be perturbed, differentiated or trained.
"""

import abc
from collections.abc import Callable
import dataclasses
import functools
import json
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from ng_jax import specs
from ng_jax.optimizers import trees

Theta = Any  # Nested dict of float arrays.


@dataclasses.dataclass(frozen=True)
class LearnedOptimizer(abc.ABC):
  """An update rule with parameters; frozen and hashable, so static under jit.

  Subclasses give `init`, `init_state` and `update`.

  Attributes:
    needs_spec: whether the rule reads the optimizee's graph.
    spec: of the networks that are optimized, or None where the rule has no use
      for it. Arrays that it does not name are updated without its context.
  """

  spec: specs.NetworkSpec | None = None
  needs_spec: ClassVar[bool] = False

  @abc.abstractmethod
  def init(self, key: jax.Array) -> Theta:
    """Draws theta.

    Args:
      key: typed PRNG key.

    Returns:
      Nested dict of float32 arrays, with jax_enable_x64 too (where Flax draws
      wider ones, so cast them), whose shapes do not depend on `spec` (but for
      NFN, see there). Jit: yes, on the optimizer as static argument.
    """

  @abc.abstractmethod
  def init_state(self, theta: Theta, params: Any) -> Any:
    """State of the rule before the first step.

    Args:
      theta: of the rule.
      params: {path: array} of the optimizee.

    Returns:
      A tree of arrays whose shapes and dtypes never change. Jit: yes.
    """

  @abc.abstractmethod
  def update(
    self,
    theta: Theta,
    gradients: dict[str, jax.Array],
    state: Any,
    params: dict[str, jax.Array],
    value: jax.Array | None,
  ) -> tuple[dict[str, jax.Array], Any]:
    """One step.

    Args:
      theta: of the rule.
      gradients: {path: array} float32 or wider.
      state: of `init_state` or the last step.
      params: {path: array} float32 or wider.
      value: the loss, scalar, for rules that read it.

    Returns:
      What is added to the parameters, {path: array}, and the next state. Jit:
      yes.
    """

  def check_params(self, params: dict[str, jax.Array]) -> None:
    """Refuses an optimizee that the rule cannot read; see subclasses.

    Args:
      params: {path: array}.
    """
    del params

  def given_spec(self) -> specs.NetworkSpec:
    """The spec, for rules that need one.

    Returns:
      The spec. Jit: static.

    Raises:
      ValueError: there is none.
    """
    if self.spec is None:
      raise ValueError(
        f'{type(self).__name__} reads the graph of the optimizee and needs '
        'spec, got None; make one with ng_jax.specs.infer(module, params, x).'
      )
    return self.spec

  def check_theta(self, theta: Theta) -> None:
    """Refuses parameters of another optimizer.

    Args:
      theta: nested dict of arrays.

    Raises:
      ValueError: lists what is missing, unknown or of another shape. Jit: yes.
    """
    expected = _theta_shapes(self)
    found = {
      path: jnp.shape(leaf) for path, leaf in trees.named_leaves(theta).items()
    }
    if found == expected:
      return
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    other = sorted(
      f'{path} {found[path]} instead of {expected[path]}'
      for path in set(found) & set(expected)
      if found[path] != expected[path]
    )
    raise ValueError(
      f'theta must be parameters of {type(self).__name__} with the same '
      f'options, but it lacks {missing[:4]}, has {unknown[:4]} too much and '
      f'has {other[:4]}; make them with init(key), or load the optimizer by '
      'its own name.'
    )

  def transformation(
    self, theta: Theta
  ) -> optax.GradientTransformationExtraArgs:
    """The optimizer for optax.

    `init(params)` and `update(gradients, state, params, value=loss)` work under
    jit, scan and vmap, inside `optax.chain`, and on any tree of float arrays.
    Arithmetic is float32 (float64 for float64 parameters); updates have the
    dtypes of the parameters. Gradients that are not finite give updates that
    are not finite: wrap in `optax.apply_if_finite` to skip such steps.

    Args:
      theta: as `init` gives it; may be traced.

    Returns:
      A `GradientTransformationExtraArgs`. Other extra arguments are ignored.
      Jit: it may be made inside of jitted functions.

    Raises:
      ValueError: theta of another optimizer; then, from `init` and `update`,
        params that are None or not float, gradients of another structure, a
        spec that names arrays which the params do not have.
    """
    self.check_theta(theta)

    def init_fn(params: Any) -> Any:
      arrays, _ = self._read(params, 'params')
      return self.init_state(theta, arrays)

    def update_fn(
      updates: Any,
      state: Any,
      params: Any = None,
      *,
      value: Any = None,
      **extra_args: Any,
    ) -> tuple[Any, Any]:
      del extra_args
      if params is None:
        raise ValueError(
          'learned optimizers read the parameters, so params must be given, '
          'got None; call update(gradients, state, params).'
        )
      arrays, rebuild = self._read(params, 'params')
      gradients = trees.matching(updates, params)
      changes, state = self.update(theta, gradients, state, arrays, value)
      return rebuild(changes), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)

  def _read(
    self, tree: Any, name: str
  ) -> tuple[dict[str, jax.Array], Callable[[Any], Any]]:
    """{path: array} in at least float32, and the way back."""
    arrays = trees.named_leaves(tree)
    if not arrays:
      raise ValueError(
        f'{name} must hold at least one array, got none; leave the optimizer '
        'out where there is nothing to update.'
      )
    for path, array in arrays.items():
      if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
        raise ValueError(
          f'{name} must be float arrays, got {jnp.result_type(array)} at '
          f'{path!r}; leave it out with optax.masked or optax.multi_transform.'
        )
    self.check_params(arrays)
    treedef = jax.tree.structure(tree)
    dtypes = [jnp.result_type(array) for array in arrays.values()]

    def rebuild(changes: dict[str, jax.Array]) -> Any:
      leaves = [
        changes[path].astype(dtype)
        for path, dtype in zip(arrays, dtypes, strict=True)
      ]
      return jax.tree.unflatten(treedef, leaves)

    return {path: trees.widen(array) for path, array in arrays.items()}, rebuild


def settings(optimizer: LearnedOptimizer) -> dict[str, Any]:
  """The options that differ from an optimizer's defaults, without its spec.

  Args:
    optimizer: any.

  Returns:
    {field: value}, JSON can hold it. Jit: no.
  """
  found = {}
  for field in dataclasses.fields(optimizer):
    value = getattr(optimizer, field.name)
    if field.name != 'spec' and value != field.default:
      found[field.name] = value
  return json.loads(json.dumps(found))


@functools.cache
def _theta_shapes(optimizer: LearnedOptimizer) -> dict[str, tuple[int, ...]]:
  key = jax.eval_shape(lambda: jax.random.key(0))
  shapes = jax.eval_shape(optimizer.init, key)
  return {path: leaf.shape for path, leaf in trees.named_leaves(shapes).items()}
