# SPDX-License-Identifier: Apache-2.0
"""Tasks that optimizers are learned and tried on, by name.

A name is '<source>_<network>' or, with images made smaller,
'<source>_<size>_<network>': 'fashion_mnist_cnn', 'cifar10_cnn_width_64',
'fashion_mnist_14_mlp'. `names()` lists all of them.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ng_jax import specs
from ng_jax.meta import linen_optimizees
from ng_jax.meta import optimizees
from ng_jax.meta import pixels as pixels_lib

_BATCH_SIZE = 128
_NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Task:
  """A network, its loss, and the size of a batch; static and hashable.

  Attributes:
    name: of the task.
    network: hashable, with `init`, `apply` and `spec`, see `optimizees`.
    batch_size: images of a step.
    source: of the images, see `pixels.read`.
    image_size: rows and columns after averaging; 0 for images as they are.
  """

  name: str
  network: Any
  batch_size: int = _BATCH_SIZE
  source: str = ''
  image_size: int = 0

  def init(self, key: jax.Array) -> specs.Weights:
    """Draws the weights that are trained. Jit: yes."""
    weights: specs.Weights = self.network.init(key)
    return weights

  def loss(self, params: specs.Weights, batch: pixels_lib.Batch) -> jax.Array:
    """Mean softmax cross-entropy of a batch.

    Args:
      params: weights of the network.
      batch: normalised images and labels.

    Returns:
      [] float32, nats. Jit: yes.
    """
    return jnp.mean(self._losses(params, batch)[0])

  def score(
    self, params: specs.Weights, batch: pixels_lib.Batch
  ) -> tuple[jax.Array, jax.Array]:
    """Sums over a batch.

    Args:
      params: weights of the network.
      batch: normalised images and labels.

    Returns:
      Number of right answers [] int32, summed cross-entropy [] float32. Jit:
      yes.
    """
    losses, logits = self._losses(params, batch)
    right = jnp.argmax(logits, axis=-1) == batch.labels
    return jnp.sum(right, dtype=jnp.int32), jnp.sum(losses)

  def _losses(
    self, params: specs.Weights, batch: pixels_lib.Batch
  ) -> tuple[jax.Array, jax.Array]:
    """Cross-entropies [batch_size] and logits [batch_size, num_classes]."""
    logits = self.network.apply(params, batch.images)
    likelihood = jax.nn.log_softmax(logits)
    classes = jnp.arange(logits.shape[-1])
    # A sum and not a gather, which is slow inside a scan on some backends.
    chosen = jnp.where(batch.labels[:, None] == classes, likelihood, 0.0)
    return -jnp.sum(chosen, axis=-1), logits


def create(name: str) -> Task:
  """Makes a task by name.

  Args:
    name: one of `names()`.

  Returns:
    The task. Jit: static.

  Raises:
    ValueError: unknown name.
  """
  if name not in _registry():
    raise ValueError(f'unknown task {name!r}; expected one of {list(names())}.')
  return _registry()[name]()


def names() -> tuple[str, ...]:
  """Names that `create` knows. Jit: static."""
  return tuple(sorted(_registry()))


def generalisation_suite(
  source: str = 'cifar10', image_size: int = 0
) -> tuple[str, ...]:
  """Names of the tasks that ask how a learned optimizer generalises.

  Widths, depths, MLPs, normalised CNNs and a small ViT, the paper's CNN first.

  Args:
    source: of the images.
    image_size: 0, or 14 or 8 for small images of the source that has them.

  Returns:
    Names for `create`. Jit: static.

  Raises:
    ValueError: a source without tasks of that size.
  """
  prefix = _prefix(source, image_size)
  suite = tuple(f'{prefix}_{network}' for network in _NETWORKS)
  if suite[0] not in _registry():
    known = [
      _prefix(s, size) for s, sizes in _SOURCES.items() for size in sizes
    ]
    raise ValueError(
      f'no tasks of {source!r} with image_size={image_size}; expected one of '
      f'{known}, as <source>_<image_size>.'
    )
  return suite


def read_pixels(
  task: Task, *, image_dir: str | None = None, **options: Any
) -> pixels_lib.Splits:
  """Reads the images of a task.

  Args:
    task: from `create`.
    image_dir: folder of the publishers' files.
    **options: `num_hold_out` and `hold_out_seed` of `pixels.read`.

  Returns:
    Training, hold-out and test images on the device. Jit: no.

  Raises:
    ValueError: as `pixels.read`.
  """
  return pixels_lib.read(
    task.source, image_dir=image_dir, image_size=task.image_size, **options
  )


@dataclasses.dataclass(frozen=True)
class _Source:
  """Published (rows, columns, channels) and the width of the paper's CNN."""

  shape: tuple[int, int, int]
  width: int


_PUBLISHED = {
  'cifar10': _Source((32, 32, 3), 32),
  'digits': _Source((8, 8, 1), 8),
  'fashion_mnist': _Source((28, 28, 1), 16),
  'mnist': _Source((28, 28, 1), 16),
}
# Image sizes of each source, 0 for the published one.
_SOURCES = {
  'cifar10': (0, 14, 8),
  'digits': (0,),
  'fashion_mnist': (0, 14, 8),
  'mnist': (0, 14, 8),
}

_Shape = tuple[int, int, int]
# (rows, columns, channels), width of the paper's CNN -> network.
_Maker = Callable[[_Shape, int], optimizees.Network]


def _make_cnn(
  shape: _Shape, width: int, *, factors: tuple[int, ...]
) -> optimizees.Network:
  return optimizees.small_cnn(shape[-1], tuple(width * f for f in factors))


def _make_mlp(
  shape: _Shape, width: int, *, hidden: tuple[int, ...]
) -> optimizees.Network:
  del width
  num_inputs = shape[0] * shape[1] * shape[2]
  return optimizees.Mlp((num_inputs, *hidden, _NUM_CLASSES))


def _make_normalised(
  shape: _Shape, width: int, *, norm: str
) -> optimizees.Network:
  hidden = (width, 2 * width, 2 * width)
  module = linen_optimizees.NormalisedCnn(hidden, norm)
  return optimizees.LinenNetwork(module, shape)


def _make_flax_mlp(
  shape: _Shape, width: int, *, hidden: tuple[int, ...]
) -> optimizees.Network:
  """With the initialisers of Flax, as users have it."""
  del width
  module = linen_optimizees.Mlp((*hidden, _NUM_CLASSES))
  return optimizees.LinenNetwork(module, shape)


def _make_vit(shape: _Shape, width: int) -> optimizees.Network:
  del width
  patch_size = 4 if shape[0] > 14 else 2
  module = linen_optimizees.VisionTransformer(patch_size=patch_size)
  return optimizees.LinenNetwork(module, shape)


def _of_width(own_width: int, *factors: int) -> _Maker:
  """A CNN of this width on every source."""
  return lambda shape, _: _make_cnn(shape, own_width, factors=factors)


# Networks of the generalisation suite; the first is the paper's.
_NETWORKS: dict[str, _Maker] = {
  'cnn': functools.partial(_make_cnn, factors=(1, 2, 2)),
  **{f'cnn_width_{h}': _of_width(h, 1, 2, 2) for h in (8, 16, 32, 64, 128)},
  'cnn_depth_1': _of_width(32, 1),
  'cnn_depth_2': _of_width(32, 1, 2),
  'cnn_depth_4': _of_width(32, 1, 2, 2, 4),
  'cnn_depth_5': _of_width(32, 1, 2, 2, 4, 4),
  'cnn_tiny': _of_width(16, 1, 2),
  'mlp': functools.partial(_make_mlp, hidden=(20,)),
  'mlp_32': functools.partial(_make_mlp, hidden=(32,)),
  'mlp_32_32': functools.partial(_make_mlp, hidden=(32, 32)),
  'mlp_128_128': functools.partial(_make_mlp, hidden=(128, 128)),
  'flax_mlp_64_32': functools.partial(_make_flax_mlp, hidden=(64, 32)),
  'cnn_group_norm': functools.partial(_make_normalised, norm='group'),
  'cnn_layer_norm': functools.partial(_make_normalised, norm='layer'),
  'vit': _make_vit,
}


def _prefix(source: str, image_size: int) -> str:
  return f'{source}_{image_size}' if image_size else source


@functools.cache
def _registry() -> dict[str, Callable[[], Task]]:
  """{name: makes the task}."""
  return {
    f'{_prefix(source, size)}_{network}': functools.partial(
      _make, source, size, network
    )
    for source, sizes in _SOURCES.items()
    for size in sizes
    for network in _NETWORKS
  }


def _make(source: str, image_size: int, network: str) -> Task:
  published = _PUBLISHED[source]
  rows, columns, channels = published.shape
  if image_size:
    rows = columns = image_size
  made = _NETWORKS[network]((rows, columns, channels), published.width)
  name = f'{_prefix(source, image_size)}_{network}'
  return Task(name, made, source=source, image_size=image_size)
