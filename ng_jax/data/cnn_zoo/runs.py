# SPDX-License-Identifier: Apache-2.0
"""Which runs a CNN zoo consists of: architectures, hyperparameters, splits."""

import dataclasses

import jax
import numpy as np

from ng_jax import networks
from ng_jax.data.cnn_zoo import settings as settings_lib

SPLITS = ('train', 'validation', 'test')

# Purposes that the seed is combined with.
_SHAPES, _RUNS, _EPOCHS, _ORDER = range(4)


@dataclasses.dataclass(frozen=True)
class Run:
  """One training of one network.

  Attributes:
    number: of the run in the zoo.
    shape: number of its shape.
    network: with its activations and residuals.
    learning_rate: of AdamW.
    weight_decay: of AdamW.
    num_epochs: length.
    split: name.
  """

  number: int
  shape: int
  network: networks.Cnn
  learning_rate: float
  weight_decay: float
  num_epochs: int
  split: str


def choose(
  settings: settings_lib.ZooSettings,
  *,
  input_channels: int,
  num_classes: int,
) -> tuple[Run, ...]:
  """Draws all runs of a zoo; more shapes leave the first ones as they are.

  Args:
    settings: of the zoo.
    input_channels: of the images.
    num_classes: of the images.

  Returns:
    The runs: shape by shape. Jit: no.
  """
  splits = _splits(settings)
  found = []
  shapes = _draw_shapes(settings, input_channels, num_classes)
  for s, shape in enumerate(shapes):
    length = np.random.default_rng([settings.seed, _EPOCHS, s])
    num_epochs = length.integers(settings.min_epochs, settings.max_epochs + 1)
    for r in range(settings.runs_per_shape):
      rng = np.random.default_rng([settings.seed, _RUNS, s, r])
      number = s * settings.runs_per_shape + r
      found.append(
        Run(
          number=number,
          shape=s,
          network=_vary(shape, rng, settings),
          learning_rate=float(rng.choice(settings.learning_rates)),
          weight_decay=float(rng.choice(settings.weight_decays)),
          num_epochs=int(num_epochs),
          split=splits[number],
        )
      )
  return tuple(found)


def initial_key(settings: settings_lib.ZooSettings, run: Run) -> jax.Array:
  """Key of a run's initial weights: seed and number of the run. Jit: no."""
  return jax.random.fold_in(jax.random.key(settings.seed), run.number)


def epoch_rows(
  settings: settings_lib.ZooSettings, run: Run, epoch: int, num_images: int
) -> np.ndarray:
  """Order of the training images in one epoch of a run.

  Args:
    settings: of the zoo.
    run: of the zoo.
    epoch: from 0.
    num_images: to train on.

  Returns:
    [num_steps, batch_size] int32, -1 where the last batch is short. Jit: no.
  """
  rng = np.random.default_rng([settings.seed, _ORDER, run.number, epoch])
  return in_batches(rng.permutation(num_images), settings.batch_size)


def in_batches(rows: np.ndarray, batch_size: int) -> np.ndarray:
  """Rows in batches of one size.

  Args:
    rows: [num_rows] int.
    batch_size: rows of a batch.

  Returns:
    [num_batches, batch_size] int32, -1 where the last batch is short. Jit: no.
  """
  padded = np.full(-(-len(rows) // batch_size) * batch_size, -1, np.int32)
  padded[: len(rows)] = rows
  return padded.reshape(-1, batch_size)


def _draw_shapes(
  settings: settings_lib.ZooSettings, input_channels: int, num_classes: int
) -> list[networks.Cnn]:
  rng = np.random.default_rng([settings.seed, _SHAPES])
  found: list[networks.Cnn] = []
  seen = set()
  while len(found) < settings.num_shapes:
    drawn = networks.draw_cnn(
      rng,
      num_convolutions=settings.num_convolutions,
      channels=settings.channels,
      kernel_sizes=settings.kernel_sizes,
      layer_activations=('relu',),
      input_channels=input_channels,
      num_classes=num_classes,
    )
    key = (drawn.channels, drawn.kernel_sizes)
    if not (settings.distinct_shapes and key in seen):
      found.append(drawn)
      seen.add(key)
  return found


def _vary(
  shape: networks.Cnn,
  rng: np.random.Generator,
  settings: settings_lib.ZooSettings,
) -> networks.Cnn:
  """Activations and residuals of a run, uniform as in `networks.draw_cnn`."""
  num = shape.num_convolutions
  names = rng.choice(settings.layer_activations, num)
  # Drawn in any case, so that nothing else depends on the setting.
  residual = [int(rng.integers(-1, max(i - 1, 0))) for i in range(num)]
  return dataclasses.replace(
    shape,
    layer_activations=tuple(str(name) for name in names),
    residual=tuple(residual) if settings.residuals else (-1,) * num,
  )


def _splits(settings: settings_lib.ZooSettings) -> list[str]:
  """Split of every run: test is drawn first, then validation."""
  rng = np.random.default_rng(settings.split_seed)
  order = rng.permutation(settings.num_runs)
  splits = ['train'] * settings.num_runs
  num_test = settings.num_test_runs
  for number in order[:num_test]:
    splits[number] = 'test'
  for number in order[num_test : num_test + settings.num_validation_runs]:
    splits[number] = 'validation'
  return splits
