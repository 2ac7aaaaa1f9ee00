# SPDX-License-Identifier: Apache-2.0
"""An endless stream of batches that can be entered at any step.

Epoch after epoch the images are shuffled and cut into batches; what is left
over at the end of an epoch is dropped. A batch depends on the key of the stream
and on its number alone, so all that a checkpoint needs of a stream is a number.
"""

import jax
import jax.numpy as jnp


def draw_rows(
  key: jax.Array,
  first_step: jax.typing.ArrayLike = 0,
  *,
  num_steps: int,
  num_images: int,
  batch_size: int,
) -> jax.Array:
  """Rows of consecutive batches, from any number of the stream on.

  Args:
    key: [] typed key of the stream.
    first_step: [] int32, number of the first batch, from 0; may be traced,
      which costs up to one permutation more.
    num_steps: batches wanted. Static.
    num_images: that are shuffled. Static.
    batch_size: rows of a batch. Static.

  Returns:
    [num_steps, batch_size] int32, at least 0 and below num_images. Jit: yes.

  Raises:
    ValueError: fewer images than a batch has, or an empty batch.
  """
  if not 1 <= batch_size <= num_images:
    raise ValueError(
      'batch_size must be at least 1 and at most the number of images, got '
      f'{batch_size=} and {num_images=}; use smaller batches or another split.'
    )
  steps_per_epoch = num_images // batch_size
  # The first batch may be the last of its epoch, where it is not known.
  skipped = steps_per_epoch - 1
  if isinstance(first_step, int):
    skipped = first_step % steps_per_epoch
  num_epochs = -(-(skipped + num_steps) // steps_per_epoch)
  first_step = jnp.asarray(first_step, jnp.int32)
  epochs = first_step // steps_per_epoch + jnp.arange(num_epochs)

  def shuffle(epoch: jax.Array) -> jax.Array:
    order = jax.random.permutation(jax.random.fold_in(key, epoch), num_images)
    return order[: steps_per_epoch * batch_size]

  rows = jax.vmap(shuffle)(epochs).reshape(-1, batch_size).astype(jnp.int32)
  return jax.lax.dynamic_slice_in_dim(
    rows, first_step % steps_per_epoch, num_steps
  )
