# SPDX-License-Identifier: Apache-2.0
"""The published sets of INRs, by name."""

from collections.abc import Callable
import dataclasses
import pathlib

from ng_jax.data import published
from ng_jax.data.inr_files import dws
from ng_jax.data.inr_files import listing
from ng_jax.data.inr_files import nfn


@dataclasses.dataclass(frozen=True)
class Kind:
  """A published set.

  Attributes:
    images: the source of the images, see `images.read`.
    list_files: (settings, folder, split_file) -> the files.
  """

  images: str
  list_files: Callable[
    [published.PublishedSettings, pathlib.Path, str], listing.Listing
  ]


def _sirens(images: str, num_channels: int) -> Kind:
  return Kind(
    images,
    lambda settings, folder, split_file: nfn.list_sirens(
      folder,
      num_channels=num_channels,
      prefix=settings.folder_prefix,
      split_points=settings.split_points,
    ),
  )


KINDS = {
  'dws_mnist': Kind(
    'mnist',
    lambda settings, folder, split_file: dws.list_mnist(
      folder, split_file=split_file
    ),
  ),
  'dws_fashion_mnist': Kind(
    'fashion_mnist',
    lambda settings, folder, split_file: dws.list_fashion_mnist(
      folder, split_file=split_file
    ),
  ),
  'nfn_mnist': _sirens('mnist', 1),
  'nfn_fashion_mnist': _sirens('fashion_mnist', 1),
  'nfn_cifar10': _sirens('cifar10', 3),
}
