# SPDX-License-Identifier: Apache-2.0
"""What decides the content of a converted data set of others."""

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

from ng_jax.data import settings as settings_lib

CARD_ENTRY = 'published'


@dataclasses.dataclass(frozen=True)
class PublishedSettings(settings_lib.Settings):
  """Settings of a conversion.

  Attributes:
    source: the published set, one of `conversion.KINDS`.
    folder_prefix: of the folders of SIRENs that are read, for 'nfn_...'.
    split_points: first index of validation and of test, for 'nfn_...'.
    final_step: of the checkpoints that are used, for 'small_zoo'.
    chunk_size: networks of one shard, which are in memory at once, and which a
      killed run does again.
    fingerprint: SHA-256 of what is converted: the list of the files with their
      splits and labels, and the images; found out when left empty.
  """

  kind: ClassVar[str] = 'conversion'
  title: ClassVar[str] = 'a converted data set'
  prefix: ClassVar[str] = 'converted'

  source: str = 'dws_mnist'
  folder_prefix: str = 'randinit_smaller'
  split_points: tuple[int, int] = (45_000, 50_000)
  final_step: int = 86
  chunk_size: int = 1_024
  fingerprint: str = ''

  def __post_init__(self) -> None:
    object.__setattr__(self, 'split_points', tuple(self.split_points))
    self.check_positive(('chunk_size',))
    if len(self.split_points) != 2:
      raise ValueError(
        'split_points must be the first index of validation and of test, got '
        f'{self.split_points}; the published are (45000, 50000).'
      )


def from_card(card: Mapping[str, Any]) -> PublishedSettings | None:
  """The settings of a converted set, None of one that we made. Jit: no."""
  if CARD_ENTRY not in card:
    return None
  return settings_lib.from_dict(PublishedSettings, card[CARD_ENTRY])
