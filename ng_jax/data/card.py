# SPDX-License-Identifier: Apache-2.0
"""The card of an INR data set: what it is, how it was made, how good it is.

`card.json` is for programs, `README.md` says the same for people.
"""

from collections.abc import Mapping
import os
import pathlib
import platform
from typing import Any

import jax
import numpy as np

from ng_jax import specs
from ng_jax.data import inr_settings
from ng_jax.weights import statistics

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_NUM_BINS = 20  # Of the histogram, of whole dB each.
_BAR = 40  # Longest bar of the histogram in the README.


def make(
  settings: inr_settings.InrSettings,
  splits: Mapping[str, Mapping[str, Any]],
  *,
  spec: specs.NetworkSpec,
  images: Mapping[str, Any],
  seconds: float,
) -> dict[str, Any]:
  """Gathers the card of a made data set.

  Args:
    settings: that it was made with.
    splits: {split: {'weights', 'psnr', ...}} with leaves [num_networks, ...].
    spec: of the networks.
    images: what is known of the source, kept as it is.
    seconds: that the fit took, over all runs that had a part in it.

  Returns:
    JSON types. Jit: no.

  Raises:
    ValueError: weights that have no statistics, see
      `statistics.from_weights`.
  """
  psnr = np.concatenate([split['psnr'] for split in splits.values()])
  counts = {name: len(split['psnr']) for name, split in splits.items()}
  found = statistics.from_weights(spec, splits['train']['weights'])
  width = np.ceil((psnr.max() - psnr.min()) / _NUM_BINS) or 1.0
  edges = np.floor(psnr.min()) + width * np.arange(_NUM_BINS + 2)
  return {
    'settings': settings.to_dict(),
    'images': dict(images),
    'layer_sizes': list(settings.network(images['shape'][-1]).layer_sizes),
    'num_networks': counts,
    'statistics_of_train': {
      name: list(getattr(found, name))
      for name in ('weight_mean', 'weight_std', 'bias_mean', 'bias_std')
    },
    'psnr': {
      'median': float(np.median(psnr)),
      'mean': float(psnr.mean()),
      'min': float(psnr.min()),
      'max': float(psnr.max()),
      'quantiles': {
        str(q): float(value)
        for q, value in zip(
          _QUANTILES, np.quantile(psnr, _QUANTILES), strict=True
        )
      },
      'histogram': {
        'edges': edges.tolist(),
        'counts': np.histogram(psnr, edges)[0].tolist(),
      },
    },
    'fit': {
      'seconds': seconds,
      'networks_per_second': len(psnr) / seconds,
      'steps_per_second': len(psnr) * settings.num_steps / seconds,
      'hardware': hardware(),
      'jax': jax.__version__,
    },
  }


def hardware() -> str:
  """The devices and the processor, in words. Jit: no."""
  model = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text(encoding='utf-8').splitlines():
      if line.startswith('model name'):
        model = line.split(':', 1)[1].strip()
        break
  devices = jax.devices()
  return (
    f'{len(devices)} x {devices[0].device_kind} ({devices[0].platform}), '
    f'{os.cpu_count()} processors ({model})'
  )


def to_markdown(card: Mapping[str, Any]) -> str:
  """Writes a card for people.

  Args:
    card: from `make`.

  Returns:
    Markdown text. Jit: no.
  """
  settings, images = card['settings'], card['images']
  psnr, fit = card['psnr'], card['fit']
  rows, columns, channels = images['shape']
  sizes = '-'.join(map(str, card['layer_sizes']))
  lines = [
    f'# INRs of {settings["source"]}',
    '',
    f'SIRENs {sizes} (variant {settings["variant"]!r}, w0 {settings["w0"]:g}), '
    f'one for each image of {rows} x {columns} x {channels} pixels and each of '
    f'{settings["num_views"]} views. Made with ng_jax.',
    '',
    '| split | networks |',
    '| --- | --- |',
    *(f'| {name} | {n:,} |' for name, n in card['num_networks'].items()),
    '',
    'All views of an image are in one split. Train and validation are drawn '
    "from the source's training images, test from its test images.",
    *([f'\nOnly a part of the published set: {n}.' for n in images['notes']]),
    '',
    '## Quality',
    '',
    'PSNR in dB, of unclipped pixels in [0, 1]: median '
    f'{psnr["median"]:.2f}, mean {psnr["mean"]:.2f}, lowest '
    f'{psnr["min"]:.2f}, highest {psnr["max"]:.2f}.',
    '',
    '```',
    *_histogram(psnr['histogram']),
    '```',
    '',
    '## Weights of the training split',
    '',
    '| layer | weight mean | weight std | bias mean | bias std |',
    '| --- | --- | --- | --- | --- |',
    *_statistics_rows(card['statistics_of_train']),
    '',
    '## How it was made',
    '',
    f'{fit["seconds"]:.0f} s of fitting, {fit["networks_per_second"]:.1f} '
    f'networks a second ({fit["steps_per_second"]:,.0f} steps a second), on '
    f'{fit["hardware"]}, jax {fit["jax"]}. Adam on all pixels at a constant '
    'learning rate.',
    '',
    '| setting | value |',
    '| --- | --- |',
    *(f'| {name} | {value} |' for name, value in settings.items()),
    '',
    f'SHA-256 of the training images: `{images["sha256"]["train"]}`, of the '
    f'test images: `{images["sha256"]["test"]}`.',
    '',
    '## Reading it',
    '',
    '`ng_jax.data.inr.load(folder)`, or with TFDS alone',
    "`tfds.builder_from_directory('<folder>/inr_set/1.0.0')"
    ".as_data_source('train')`. Fields: weights (nested, input axis first), "
    f'image (uint8, white is {images["max_value"]}), label, image_index (in '
    "the source's split), view, psnr. The folder `arrays` holds the same as "
    'safetensors, which load faster; it may be deleted.',
    '',
  ]
  return '\n'.join(lines)


def _histogram(histogram: Mapping[str, Any]) -> list[str]:
  counts, edges = histogram['counts'], histogram['edges']
  most = max(counts)
  return [
    f'{edge:4.0f} dB {count:7,} {"#" * round(_BAR * count / most)}'.rstrip()
    for edge, count in zip(edges[:-1], counts, strict=True)
  ]


def _statistics_rows(found: Mapping[str, list[float]]) -> list[str]:
  columns = zip(
    found['weight_mean'],
    found['weight_std'],
    found['bias_mean'],
    found['bias_std'],
    strict=True,
  )
  return [
    f'| {i} | ' + ' | '.join(f'{value:.4g}' for value in row) + ' |'
    for i, row in enumerate(columns, start=1)
  ]
