# SPDX-License-Identifier: Apache-2.0
"""Trains a task from scratch with an optimizer, several seeds in one program.

    found = evaluation.evaluate(
      task, optimizer.transformation, theta, splits.train,
      held={'test': splits.test},
    )
    found.accuracy['test'][:, -1].mean()

Any factory of optax transformations will do: `lambda rate: optax.adam(rate)`
with theta a learning rate, or that of a learned optimizer. Give the same
factory again, not a new lambda, and nothing is compiled twice.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ng_jax.meta import pixels as pixels_lib
from ng_jax.meta import tasks
from ng_jax.meta import training_run

# theta -> transformation; hashable, theta may be traced.
MakeTransformation = Callable[[Any], optax.GradientTransformation]

# Of the published evaluation: they draw weights and the order of the images.
SEEDS = (101, 102, 103, 104, 105)
OVER_SEEDS = ('auto', 'map', 'vmap')


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What came of a task, trained from several seeds.

  Attributes:
    seeds: of the runs.
    steps: [num_tests] int, after which the held-out images were scored.
    accuracy: {held-out set: [num_seeds, num_tests] float32 in [0, 1]}.
    loss: {held-out set: [num_seeds, num_tests] float32}, mean cross-entropy.
    train_losses: [num_seeds, num_steps] float32, of the batch before each
      step; of a frozen run, NaN from its last step on.
    frozen_at: [num_seeds] int, the step at which loss or weights were no
      longer finite and the weights were kept as they were; -1 for a run
      without.
    seconds: of the compiled program, tests included.
    compile_seconds: 0 where the program was there already.
  """

  seeds: tuple[int, ...]
  steps: np.ndarray
  accuracy: Mapping[str, np.ndarray]
  loss: Mapping[str, np.ndarray]
  train_losses: np.ndarray
  frozen_at: np.ndarray
  seconds: float
  compile_seconds: float

  @property
  def num_frozen(self) -> int:
    """Number of runs that were frozen."""
    return int(np.sum(self.frozen_at >= 0))

  def final(self, name: str = 'test') -> tuple[float, float]:
    """Accuracy at the end, as published figures give it.

    Args:
      name: of a held-out set.

    Returns:
      Mean and population standard deviation over the seeds, in [0, 1]. Jit: no.
    """
    last = np.asarray(self.accuracy[name][:, -1], np.float64)
    return float(last.mean()), float(last.std())

  def to_record(self) -> dict[str, Any]:
    """The numbers of `reports`, ready for a JSON line.

    Train losses are averaged between one test and the next; numbers that are
    not finite become None.

    Returns:
      {'seeds', 'steps', 'accuracy', 'loss', 'train_loss', 'frozen_at',
      'seconds', 'compile_seconds'}. Jit: no.
    """
    between = self.train_losses.reshape(len(self.seeds), len(self.steps), -1)
    return {
      'seeds': list(self.seeds),
      'steps': self.steps.tolist(),
      'accuracy': {k: _to_lists(v) for k, v in self.accuracy.items()},
      'loss': {k: _to_lists(v) for k, v in self.loss.items()},
      'train_loss': _to_lists(between.mean(axis=-1)),
      'frozen_at': self.frozen_at.tolist(),
      'seconds': self.seconds,
      'compile_seconds': self.compile_seconds,
    }


def evaluate(
  task: tasks.Task,
  make_tx: MakeTransformation,
  theta: Any,
  train: pixels_lib.Pixels,
  *,
  held: Mapping[str, pixels_lib.Pixels],
  seeds: Sequence[int] = SEEDS,
  num_steps: int = 1_000,
  test_every: int = 100,
  test_batch_size: int | None = None,
  over_seeds: str = 'auto',
) -> Evaluation:
  """Trains a task from scratch, once from each seed, and scores it on the way.

  All of it is one compiled program: a scan over steps, between them a scan
  over the held-out images. The optimizer is never reset.

  Args:
    task: what to train.
    make_tx: theta -> optax transformation; hashable. Its update is given the
      loss as `value`.
    theta: tree of arrays or numbers, an argument of the compiled program.
    train: to train on.
    held: {name: images to score}, for example 'hold_out' and 'test'.
    seeds: of weights and of the order of the images.
    num_steps: of every run.
    test_every: steps from one test to the next; divides num_steps.
    test_batch_size: held-out images at a time; by default 125 where
      `jax.default_backend()` is 'cpu', which stay in the cache, else 1,000.
    over_seeds: 'vmap' runs the seeds side by side, 'map' one after another;
      'auto' is map on a CPU, which is faster there and takes a fifth of the
      memory with five seeds, else vmap.

  Returns:
    The evaluation. Jit: no, it calls a compiled program.

  Raises:
    ValueError: no seeds, no held-out set or an empty one, test_every that does
      not divide num_steps, unknown over_seeds.
  """
  _check(held, seeds, num_steps, test_every, over_seeds)
  on_cpu = jax.default_backend() == 'cpu'
  if over_seeds == 'auto':
    over_seeds = 'map' if on_cpu else 'vmap'
  if test_batch_size is None:
    test_batch_size = 125 if on_cpu else 1_000
  plan = training_run.Plan(
    task, make_tx, num_steps, test_every, test_batch_size
  )
  keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
  arguments = (_as_arrays(theta), keys, train, dict(held))
  program, compile_seconds = _compile(plan, over_seeds, arguments)
  start = time.perf_counter()
  found = jax.device_get(program(*arguments))
  seconds = time.perf_counter() - start
  counts = {name: len(pixels.labels) for name, pixels in held.items()}
  return Evaluation(
    seeds=tuple(seeds),
    steps=np.arange(test_every, num_steps + 1, test_every),
    accuracy={k: found.right[k] / np.float32(n) for k, n in counts.items()},
    loss={k: found.loss[k] / np.float32(n) for k, n in counts.items()},
    train_losses=found.train_losses,
    frozen_at=found.frozen_at,
    seconds=seconds,
    compile_seconds=compile_seconds,
  )


def measure_step(
  task: tasks.Task,
  make_tx: MakeTransformation,
  theta: Any,
  train: pixels_lib.Pixels,
  *,
  num_steps: int = 50,
  num_repeats: int = 3,
) -> float:
  """Time of one step of one run, without tests and without compiling.

  Args:
    task: what to train.
    make_tx: as `evaluate`.
    theta: as `evaluate`.
    train: to train on.
    num_steps: of a repetition.
    num_repeats: of which the fastest counts.

  Returns:
    Seconds. Jit: no, it calls a compiled program.
  """
  plan = training_run.Plan(task, make_tx, num_steps, num_steps, 1)
  keys = jax.vmap(jax.random.key)(np.zeros(1, np.uint32))
  held: dict[str, pixels_lib.Pixels] = {}
  arguments = (_as_arrays(theta), keys, train, held)
  program, _ = _compile(plan, 'map', arguments)
  seconds = []
  for _ in range(num_repeats):
    start = time.perf_counter()
    jax.block_until_ready(program(*arguments))
    seconds.append(time.perf_counter() - start)
  return min(seconds) / num_steps


def _check(
  held: Mapping[str, Any],
  seeds: Sequence[int],
  num_steps: int,
  test_every: int,
  over_seeds: str,
) -> None:
  if not seeds:
    raise ValueError(f'seeds must name at least one run, got {seeds!r}.')
  empty = [name for name, pixels in held.items() if not len(pixels.labels)]
  if empty or not held:
    raise ValueError(
      'held must map names to the images that are scored, at least one image '
      f'each, got {sorted(held)} of which {empty} are empty; leave these out, '
      'or read the images with a larger num_hold_out.'
    )
  if test_every < 1 or num_steps < 1 or num_steps % test_every:
    raise ValueError(
      f'test_every must divide num_steps={num_steps}, got {test_every}; use '
      'num_steps itself for one test at the end.'
    )
  if over_seeds not in OVER_SEEDS:
    raise ValueError(
      f'unknown over_seeds {over_seeds!r}; expected one of {OVER_SEEDS}.'
    )


def _as_arrays(theta: Any) -> Any:
  """Numbers become arrays, so that other numbers need no other program."""
  return jax.tree.map(jnp.asarray, theta)


def _compile(
  plan: training_run.Plan, over_seeds: str, arguments: tuple[Any, ...]
) -> tuple[Callable[..., training_run.Outcome], float]:
  """The compiled program for arguments of these shapes, and its seconds."""
  leaves, structure = jax.tree.flatten(arguments)
  shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
  misses = _compile_shapes.cache_info().misses
  start = time.perf_counter()
  program = _compile_shapes(plan, over_seeds, structure, shapes)
  seconds = time.perf_counter() - start
  return program, seconds * (_compile_shapes.cache_info().misses - misses)


@functools.lru_cache(maxsize=16)
def _compile_shapes(
  plan: training_run.Plan,
  over_seeds: str,
  structure: Any,
  shapes: tuple[tuple[tuple[int, ...], Any], ...],
) -> Callable[..., training_run.Outcome]:
  leaves = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
  run = functools.partial(
    training_run.run_seeds, plan, side_by_side=over_seeds == 'vmap'
  )
  lowered = jax.jit(run).lower(*jax.tree.unflatten(structure, leaves))
  program: Callable[..., training_run.Outcome] = lowered.compile()
  return program


def _to_lists(array: np.ndarray) -> list[Any]:
  """Nested lists with None for what is not finite."""
  numbers = np.round(np.asarray(array, np.float64), 6).astype(object)
  numbers[~np.isfinite(array)] = None
  nested: list[Any] = numbers.tolist()
  return nested
