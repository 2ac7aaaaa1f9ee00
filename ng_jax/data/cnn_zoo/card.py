# SPDX-License-Identifier: Apache-2.0
"""The card of a CNN zoo: what it is, how it was made, how good it is.

`card.json` is for programs, `README.md` says the same for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ng_jax.data import card as card_lib
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.data.cnn_zoo import settings as settings_lib

_BINS = np.linspace(0.0, 1.0, 21)
_BAR = 40  # Longest bar of the histogram in the README.


def make(
  settings: settings_lib.ZooSettings,
  runs: Sequence[runs_lib.Run],
  table: Mapping[str, np.ndarray],
  *,
  images: Mapping[str, Any],
) -> dict[str, Any]:
  """Gathers the card of a made zoo.

  Args:
    settings: that it was made with.
    runs: of the zoo.
    table: columns 'run', 'epoch', 'test_accuracy', 'standard_error' and
      'seconds' of all checkpoints.
    images: what was noted when the zoo was begun.

  Returns:
    JSON types. Jit: no.
  """
  accuracy = np.asarray(table['test_accuracy'], np.float64)
  split = np.array([runs[number].split for number in table['run']])
  planned = sum(len(settings.stored_epochs(r.num_epochs)) for r in runs)
  seconds = float(np.sum(table['seconds']))
  empty = not len(accuracy)
  return {
    'settings': settings.to_dict(),
    'images': dict(images),
    'num_runs': {
      name: sum(run.split == name for run in runs) for name in runs_lib.SPLITS
    },
    'num_checkpoints': {
      name: int(np.sum(split == name)) for name in runs_lib.SPLITS
    },
    'num_diverged': planned - len(accuracy),
    'num_different_shapes': len(
      {(run.network.channels, run.network.kernel_sizes) for run in runs}
    ),
    'accuracy': {
      'median': 0.0 if empty else float(np.median(accuracy)),
      'min': 0.0 if empty else float(accuracy.min()),
      'max': 0.0 if empty else float(accuracy.max()),
      'mean_standard_error': (
        0.0 if empty else float(np.mean(table['standard_error']))
      ),
      'histogram': np.histogram(accuracy, _BINS)[0].tolist(),
    },
    'training': {
      'seconds': seconds,
      'checkpoints_per_hour': 3600 * len(accuracy) / max(seconds, 1e-9),
      'hardware': card_lib.hardware(),
      'jax': jax.__version__,
    },
  }


def to_markdown(card: Mapping[str, Any]) -> str:
  """Writes a card for people.

  Args:
    card: from `make`.

  Returns:
    Markdown text. Jit: no.
  """
  settings, images = card['settings'], card['images']
  accuracy, training = card['accuracy'], card['training']
  rows, columns, channels = images['trained_shape']
  used = images['num_used']
  counts = card['num_checkpoints']
  lines = [
    f'# CNN zoo, {settings["source"]}',
    '',
    f'CNNs of {card["num_different_shapes"]:,} shapes of weights, trained on '
    f'{used["train"]:,} images of {rows} x {columns} x {channels} pixels. '
    'Made with ng_jax, after the CNN Wild Park of Kofinas et al. (2024).',
    '',
    '| split | runs | checkpoints |',
    '| --- | --- | --- |',
    *(f'| {n} | {k:,} | {counts[n]:,} |' for n, k in card['num_runs'].items()),
    '',
    'All checkpoints of a run are in one split. '
    f'{card["num_diverged"]:,} checkpoints were not kept, because their '
    'weights or loss were not finite.',
    *(
      [f'\nOnly a part of the published images: {n}.' for n in images['notes']]
    ),
    '',
    '## Accuracy',
    '',
    f'On {used["test"]:,} held-out images, the same for all networks: median '
    f'{accuracy["median"]:.3f}, lowest {accuracy["min"]:.3f}, highest '
    f'{accuracy["max"]:.3f}; mean standard error '
    f'{accuracy["mean_standard_error"]:.4f}.',
    '',
    '```',
    *_histogram(accuracy['histogram']),
    '```',
    '',
    '## How it was made',
    '',
    f'{training["seconds"]:.0f} s of training, tests included, '
    f'{training["checkpoints_per_hour"]:,.0f} checkpoints an hour and process, '
    f'engine {images["engine"]!r}, on {training["hardware"]}, jax '
    f'{training["jax"]}. AdamW, cross-entropy, no augmentation; pixels '
    'normalised by mean and standard deviation of each channel.',
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
    '`ng_jax.data.cnn_zoo.load(folder)`, or with TFDS alone '
    "`tfds.builder_from_directory('<folder>/cnn_set/1.0.0')"
    ".as_data_source('train')`. Fields: architecture (JSON: channels, "
    'kernel_sizes, layer_activations, residual, ...), weights (one vector: '
    'kernel [height, width, in, out] and bias of each convolution, then kernel '
    '[in, classes] and bias of the linear layer), test_accuracy, '
    'standard_error, test_loss, epoch, run, shape, learning_rate, '
    'weight_decay.',
    '',
  ]
  return '\n'.join(lines)


def _histogram(counts: Sequence[int]) -> list[str]:
  most = max(*counts, 1)
  return [
    f'{low:.2f} {count:7,} {"#" * round(_BAR * count / most)}'.rstrip()
    for low, count in zip(_BINS[:-1], counts, strict=True)
  ]
