# SPDX-License-Identifier: Apache-2.0
"""What decides the content of an INR data set, and the name of its folder."""

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

from ng_jax import networks
from ng_jax.data import settings as settings_lib
from ng_jax.networks import siren

INITS = ('independent', 'shared')
KEEPS = ('last', 'best')
DTYPES = ('float32', 'float64')


@dataclasses.dataclass(frozen=True)
class InrSettings(settings_lib.Settings):
  """Settings of an INR data set; the defaults make the paper's MNIST set.

  The same settings give the same networks; where the image files lie is not
  one of them. Fields of a config go in as they are:
  `InrSettings(**config.data.to_dict())` without data_dir and image_dir.

  Attributes:
    source: of the images, see `images.read`.
    num_train: images of the training split, drawn from the source's training
      images.
    num_validation: likewise, other images.
    num_test: images from the source's test images.
    num_views: networks that are fitted to each image, each from its own
      initial weights; all of them are in the image's split.
    hidden_sizes: hidden widths of the networks.
    variant: of the SIREN, 'dws' or 'nfn', see `networks.Siren`.
    w0: frequency of the sines.
    num_steps: of Adam, on all pixels.
    learning_rate: of Adam.
    seed: of the initial weights.
    split_seed: of the draw of the splits.
    init: 'independent' draws initial weights for every image and view, 'shared'
      for every view only, which makes the set much easier to read.
    keep: weights of the 'last' step or of the 'best' one.
    chunk_size: networks of one shard, the unit that a killed run redoes.
    dtype: of weights and fit.
  """

  kind: ClassVar[str] = 'INR'
  title: ClassVar[str] = 'an INR data set'
  prefix: ClassVar[str] = 'inr'

  source: str = 'mnist'
  num_train: int = 55_000
  num_validation: int = 5_000
  num_test: int = 10_000
  num_views: int = 1
  hidden_sizes: tuple[int, ...] = (32, 32)
  variant: str = 'dws'
  w0: float = 30.0
  num_steps: int = 3_000
  learning_rate: float = 1e-3
  seed: int = 0
  split_seed: int = 0
  init: str = 'independent'
  keep: str = 'last'
  chunk_size: int = 1_024
  dtype: str = 'float32'

  def __post_init__(self) -> None:
    object.__setattr__(self, 'hidden_sizes', tuple(self.hidden_sizes))
    for name, choices in (
      ('variant', siren.VARIANTS),
      ('init', INITS),
      ('keep', KEEPS),
      ('dtype', DTYPES),
    ):
      self.check_choice(name, choices)
    self.check_source()
    counts = [f.name for f in dataclasses.fields(self) if 'num_' in f.name]
    self.check_positive((*counts, 'chunk_size', 'learning_rate', 'w0'))
    if self.num_train < 2:
      raise ValueError(
        'num_train must be at least 2, or the training split has no standard '
        f'deviations, got {self.num_train}; ask for more.'
      )
    if not self.hidden_sizes or min(self.hidden_sizes) < 1:
      raise ValueError(
        'hidden_sizes must hold at least one width, all above 0, got '
        f'{self.hidden_sizes}; try (32, 32).'
      )

  def network(self, num_channels: int) -> networks.Siren:
    """The network that is fitted to images with so many channels.

    Jit: static.
    """
    return networks.Siren(
      (2, *self.hidden_sizes, num_channels), self.variant, self.w0
    )


def from_dict(fields: Mapping[str, Any]) -> InrSettings:
  """Settings from what `to_dict` gave, or from a config's fields.

  Args:
    fields: of `InrSettings`; those left out keep their defaults.

  Returns:
    The settings. Jit: static.

  Raises:
    ValueError: an unknown field, or a bad value.
  """
  return settings_lib.from_dict(InrSettings, fields)
