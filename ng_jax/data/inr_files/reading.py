# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a published set of INRs, with their images if given."""

from collections.abc import Mapping, Sequence
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from ng_jax import networks
from ng_jax import specs
from ng_jax.data import images as images_lib
from ng_jax.data.inr_files import listing as listing_lib
from ng_jax.files import torch_files

_LABEL = 'label'


def read_network(
  path: pathlib.Path, network: networks.Siren
) -> tuple[specs.Weights, int]:
  """Reads one file.

  Args:
    path: of a state_dict in layer order, weights [out, in] and biases in turn,
      and perhaps 'label'.
    network: whose weights they are.

  Returns:
    Weights, numpy, float32, kernels [in, out]; the label, -1 without one. Jit:
    no.

  Raises:
    ValueError: a file that is missing, damaged, no state_dict of this network
      or not finite.
    ImportError: without torch.
  """
  content = torch_files.read(path)
  try:
    arrays = dict(content)
    label = int(arrays.pop(_LABEL, -1))
    weights = _to_weights(arrays)
    batch = specs.check_weights(network.spec, weights)
    if batch:
      raise ValueError(f'it holds a batch of shape {batch}')
    if not all(np.isfinite(x).all() for x in jax.tree.leaves(weights)):
      raise ValueError('its weights are not finite')
  except Exception as error:  # A damaged one can raise nearly anything.
    raise ValueError(
      f'{path} must be the state_dict of a SIREN {network.layer_sizes}, but is '
      f'not ({error}); fetch it again or leave it out of the splits.'
    ) from error
  return weights, label


def _to_weights(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """By the order of the keys, as the published loaders do it."""
  chosen: dict[str, list[np.ndarray]] = {'weight': [], 'bias': []}
  for key, value in arrays.items():
    kinds = [kind for kind in chosen if key.endswith(kind)]
    if not kinds:
      raise ValueError(f'the key {key!r} is neither weight nor bias')
    chosen[kinds[0]].append(np.asarray(value, np.float32))
  if len(chosen['weight']) != len(chosen['bias']):
    raise ValueError(f'the keys are {list(arrays)}')
  return {
    f'layer_{i}': {'kernel': np.ascontiguousarray(kernel.T), 'bias': bias}
    for i, (kernel, bias) in enumerate(
      zip(chosen['weight'], chosen['bias'], strict=True), start=1
    )
  }


def read_chunk(
  listing: listing_lib.Listing,
  files: Sequence[listing_lib.InrFile],
  images: images_lib.Splits | None,
) -> dict[str, Any]:
  """Reads some files of a set.

  Args:
    listing: of the set.
    files: of the listing.
    images: of its source; None without.

  Returns:
    {'weights': tree, 'label': int32, 'image_index': int32, 'view': int32 0},
    and with images 'image' [num_files, rows, columns, channels] uint8 and
    'psnr' float32 in dB, leaves [num_files, ...]. Jit: no.

  Raises:
    ValueError: as `read_network`; no label, or labels that contradict each
      other.
  """
  read = [read_network(listing.folder / f.path, listing.network) for f in files]
  labels = [
    _label(listing.folder / file.path, file.label, found)
    for file, (_, found) in zip(files, read, strict=True)
  ]
  arrays: dict[str, Any] = {
    'weights': jax.tree.map(
      lambda *leaves: np.stack(leaves), *(weights for weights, _ in read)
    ),
    'label': np.array(labels, np.int32),
    'image_index': np.array([f.image_index for f in files], np.int32),
    'view': np.zeros(len(files), np.int32),
  }
  if images is not None:
    arrays['image'] = _find_images(listing, files, labels, images)
    arrays['psnr'] = measure_psnr(
      listing.network,
      arrays['weights'],
      images_lib.scale(arrays['image'], images['train'].max_value),
    )
  return arrays


def _label(path: pathlib.Path, listed: int, found: int) -> int:
  if -1 not in (listed, found) and listed != found:
    raise ValueError(
      f'{path} has the label {found}, but the splits say {listed}; give the '
      'splits that belong to the files.'
    )
  label = max(listed, found)
  if not 0 <= label < listing_lib.NUM_CLASSES:
    raise ValueError(
      f'{path} must have a label from 0 to {listing_lib.NUM_CLASSES - 1}, in '
      f'the splits or under the key {_LABEL!r}, got {label}; give the splits '
      'with labels.'
    )
  return label


def _find_images(
  listing: listing_lib.Listing,
  files: Sequence[listing_lib.InrFile],
  labels: Sequence[int],
  images: images_lib.Splits,
) -> np.ndarray:
  """The image of each file, [num_files, rows, columns, channels] uint8."""
  chosen = []
  for file, label in zip(files, labels, strict=True):
    part, index = images['train'], file.image_index
    if file.image_split == 'all' and index >= len(part.labels):
      part, index = images['test'], index - len(part.labels)
    elif file.image_split != 'all':
      part = images[file.image_split]
    if index >= len(part.labels) or part.labels[index] != label:
      there = 'none' if index >= len(part.labels) else part.labels[index]
      raise ValueError(
        f'the images of {part.name!r} must be those of the networks, but '
        f'{file.path} of {listing.folder} represents the {part.split} image '
        f'{index} with the label {label}, and there it has {there}; give the '
        'image_dir of the same data set, all of it.'
      )
    chosen.append(part.pixels[index])
  return np.stack(chosen)


def measure_psnr(
  network: networks.Siren, weights: specs.Weights, pixels: np.ndarray
) -> np.ndarray:
  """How well networks represent images.

  Args:
    network: whose weights they are.
    weights: leaves [num_networks, ...].
    pixels: [num_networks, rows, columns, channels] float in [0, 1].

  Returns:
    [num_networks] float32, in dB, of pixels that are not clipped. Jit: no.
  """
  rendered = _render(network, weights, pixels.shape[1:3])
  error = np.mean((np.asarray(rendered) - pixels) ** 2, axis=(1, 2, 3))
  return (-10 * np.log10(np.maximum(error, 1e-12))).astype(np.float32)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _render(
  network: networks.Siren, weights: specs.Weights, shape: tuple[int, int]
) -> jax.Array:
  return network.render_pixels(weights, shape)
