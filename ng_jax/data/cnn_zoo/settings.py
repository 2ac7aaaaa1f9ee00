# SPDX-License-Identifier: Apache-2.0
"""What decides the content of a CNN zoo, and the name of its folder."""

import dataclasses
from typing import ClassVar

from ng_jax.data import settings as settings_lib
from ng_jax.networks import mlp

ENGINES = ('auto', 'layers', 'scan')
_PARK_ACTIVATIONS = ('relu', 'gelu', 'tanh', 'sigmoid', 'leaky_relu', 'none')


@dataclasses.dataclass(frozen=True)
class ZooSettings(settings_lib.Settings):
  """Settings of a CNN zoo; the defaults are those of the CNN Wild Park.

  A *shape* is what decides the shapes of the weights: channels and kernel
  sizes. A *run* is one training of one network; its initial weights, order of
  the images, activations, residuals and learning rate are its own. A run is
  stored several times, as checkpoints.

  Attributes:
    source: of the images, see `images.read`.
    image_size: rows and columns after averaging over areas, a divisor of the
      source's; 0 leaves the images as they are.
    num_train_images: to train on, drawn once from the source's training images;
      0 for all. An epoch is one pass over them.
    num_test_images: that the accuracy is measured on, drawn once from the
      source's test images; 0 for all.
    num_shapes: shapes that are drawn.
    distinct_shapes: whether no two of them may be equal.
    runs_per_shape: runs of each.
    num_convolutions: choices of depth, and so on for
    channels: choices of width,
    kernel_sizes: odd choices,
    layer_activations: of every convolution,
    learning_rates: of AdamW, constant, and
    weight_decays: decoupled, as in AdamW.
    residuals: whether layers may take residuals.
    min_epochs: shortest run; lengths are uniform between both, per shape.
    max_epochs: longest run.
    checkpoint_epochs: epochs after which a run is stored, 0 for its initial
      weights; those beyond a run's length do not count for it.
    checkpoint_every: used where checkpoint_epochs is empty: every so many.
    batch_size: images of an optimizer step.
    num_validation_runs: whose checkpoints are the validation split.
    num_test_runs: whose checkpoints are the test split.
    seed: of shapes, runs, weights and orders.
    split_seed: of the images and of the splits.
    engine: how runs are trained: 'layers' (CPUs), 'scan' (accelerators) or
      'auto', see `cnn_zoo.training`.
  """

  kind: ClassVar[str] = 'zoo'
  title: ClassVar[str] = 'a CNN zoo'
  prefix: ClassVar[str] = 'cnn_zoo'

  source: str = 'cifar10'
  image_size: int = 0
  num_train_images: int = 0
  num_test_images: int = 0
  num_shapes: int = 2_800
  distinct_shapes: bool = False
  runs_per_shape: int = 1
  num_convolutions: tuple[int, ...] = (2, 3, 4, 5)
  channels: tuple[int, ...] = (4, 8, 16, 32)
  kernel_sizes: tuple[int, ...] = (3, 5, 7)
  layer_activations: tuple[str, ...] = _PARK_ACTIVATIONS
  learning_rates: tuple[float, ...] = (1e-3,)
  weight_decays: tuple[float, ...] = (0.0,)
  residuals: bool = True
  min_epochs: int = 200
  max_epochs: int = 1_000
  checkpoint_epochs: tuple[int, ...] = ()
  checkpoint_every: int = 10
  batch_size: int = 512
  num_validation_runs: int = 280
  num_test_runs: int = 280
  seed: int = 0
  split_seed: int = 42
  engine: str = 'auto'

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, list):  # As JSON and configs have tuples.
        object.__setattr__(self, field.name, tuple(value))
    self.check_source()
    self.check_choice('engine', ENGINES)
    self.check_positive(
      (
        *('num_shapes', 'runs_per_shape', 'min_epochs', 'batch_size'),
        *('num_validation_runs', 'num_test_runs', 'checkpoint_every'),
      )
    )
    self._check_choices()
    self._check_counts()
    self._check_epochs()

  def _check_choices(self) -> None:
    """Refuses choices that are empty, not positive or unknown."""
    for name in (
      *('num_convolutions', 'channels', 'kernel_sizes'),
      *('layer_activations', 'learning_rates', 'weight_decays'),
    ):
      if not getattr(self, name):
        raise ValueError(
          f'{name} must hold at least one choice, got (); the default is '
          f'{getattr(type(self), name)}.'
        )
    for name in ('num_convolutions', 'channels', 'learning_rates'):
      if min(getattr(self, name)) <= 0:
        raise ValueError(
          f'{name} must all be above 0, got {getattr(self, name)}; the default '
          f'is {getattr(type(self), name)}.'
        )
    even = [size for size in self.kernel_sizes if size < 1 or size % 2 == 0]
    if even:
      raise ValueError(
        f'kernel_sizes must all be odd and above 0, got {self.kernel_sizes}; '
        'even kernels change the size of the maps.'
      )
    unknown = set(self.layer_activations) - set(mlp.ACTIVATION_FUNCTIONS)
    if unknown:
      raise ValueError(
        f'unknown layer_activations {sorted(unknown)}; expected some of '
        f'{sorted(mlp.ACTIVATION_FUNCTIONS)}.'
      )
    if min(self.weight_decays) < 0:
      raise ValueError(
        f'weight_decays must not be negative, got {self.weight_decays}; use 0 '
        'for none.'
      )

  def _check_counts(self) -> None:
    for name in ('image_size', 'num_train_images', 'num_test_images'):
      if getattr(self, name) < 0:
        raise ValueError(
          f'{name} must not be negative, got {getattr(self, name)}; 0 leaves '
          'the images of the source as they are.'
        )
    if self.num_validation_runs + self.num_test_runs >= self.num_runs:
      raise ValueError(
        'num_validation_runs + num_test_runs must leave runs to train on, got '
        f'{self.num_validation_runs} + {self.num_test_runs} of '
        f'{self.num_runs}; splits are made of whole runs.'
      )
    if self.distinct_shapes and self.num_shapes > self.num_possible_shapes:
      raise ValueError(
        f'num_shapes must be at most {self.num_possible_shapes}, the number of '
        f'different shapes that these choices allow, got {self.num_shapes}; '
        'give more choices or distinct_shapes=False.'
      )

  def _check_epochs(self) -> None:
    if self.max_epochs < self.min_epochs:
      raise ValueError(
        'max_epochs must be at least min_epochs, got '
        f'{self.max_epochs} and {self.min_epochs}; equal for one length.'
      )
    if not self.stored_epochs(self.min_epochs):
      raise ValueError(
        'every run must be stored at least once, but none of '
        f'checkpoint_epochs={self.checkpoint_epochs} (or of every '
        f'{self.checkpoint_every}) is between 0 and {self.min_epochs}, the '
        'shortest run; lower them.'
      )

  @property
  def num_runs(self) -> int:
    """Number of runs. Jit: static."""
    return self.num_shapes * self.runs_per_shape

  @property
  def num_possible_shapes(self) -> int:
    """Number of different shapes that the choices allow. Jit: static."""
    per_layer = len(set(self.channels)) * len(set(self.kernel_sizes))
    return sum(per_layer**n for n in set(self.num_convolutions))

  def stored_epochs(self, num_epochs: int) -> tuple[int, ...]:
    """Epochs after which a run of that length is stored. Jit: static."""
    every = range(self.checkpoint_every, num_epochs + 1, self.checkpoint_every)
    wanted = set(self.checkpoint_epochs or every)
    return tuple(sorted(e for e in wanted if 0 <= e <= num_epochs))
