# SPDX-License-Identifier: Apache-2.0
"""Writes small zoos in exactly the published formats."""

import csv
import gzip
import json
import pathlib

import jax
import numpy as np

from ng_jax import networks
from ng_jax import specs
from tests.data import torch_trees

SMALL = networks.Cnn((1, 2, 2, 2), (3, 3, 3), num_classes=3)
CONFIG = {
  'n_layers': 3,
  'n_classes': 4,
  'channels': [3, 2, 4, 3],
  'kernel_size': [3, 5, 3],
  'stride': [1, 1, 1],
  'padding': [1, 2, 1],
  'residual': [-1, -1, 0],
  'activation': ['relu', 'gelu', 'none'],
}


def draw(network: networks.Cnn, seed: int):
  """Initial weights of a network, numpy."""
  return jax.tree.map(np.asarray, network.init(jax.random.key(seed)))


def write_rows(path: pathlib.Path, fields, rows, opened=open) -> None:
  """Writes a table."""
  with opened(path, 'wt', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(fields)
    writer.writerows(rows)


def write_small_zoo(path: pathlib.Path, num_runs: int = 10) -> None:
  """Bias before kernel, as the published layout has it; steps 0 and 86."""
  rows, shapes = [], {}
  for i in range(2 * num_runs):
    arrays = specs.leaf_arrays(draw(SMALL, i))
    parts = []
    for layer in ('conv_1', 'conv_2', 'conv_3', 'linear'):
      for kind in ('bias', 'kernel'):
        shapes[f'{layer}/{kind}'] = arrays[f'{layer}/{kind}'].shape
        parts.append(arrays[f'{layer}/{kind}'].ravel())
    rows.append(np.concatenate(parts))
  np.save(path / 'weights.npy', np.stack(rows))
  write_rows(
    path / 'metrics.csv.gz',
    ['step', 'test_accuracy', 'config.activation'],
    [[86.0 * (i % 2), i / 100, 'relu'] for i in range(2 * num_runs)],
    gzip.open,
  )
  official = ('conv2d', 'conv2d_1', 'conv2d_2', 'dense')
  names = ('conv_1', 'conv_2', 'conv_3', 'linear')
  lines, start = [], 0
  for key, shape in shapes.items():
    layer, kind = key.split('/')
    end = start + int(np.prod(shape))
    varname = f'sequential/{official[names.index(layer)]}/{kind}:0'
    lines.append([varname, start, end, shape])
    start = end
  write_rows(
    path / 'layout.csv', ['varname', 'start_idx', 'end_idx', 'shape'], lines
  )


def state_dict(config, seed: int) -> dict[str, np.ndarray]:
  """Arrays of a checkpoint of the CNN Wild Park."""
  rng = np.random.default_rng(seed)
  widths, found = config['channels'], {}
  for i, size in enumerate(config['kernel_size']):
    shape = (widths[i + 1], widths[i], size, size)
    found[f'layers.{i}.weight'] = rng.normal(size=shape).astype(np.float32)
    found[f'layers.{i}.bias'] = rng.normal(size=shape[0]).astype(np.float32)
  shape = (config['n_classes'], widths[-1])
  found['fc.weight'] = rng.normal(size=shape).astype(np.float32)
  found['fc.bias'] = rng.normal(size=shape[0]).astype(np.float32)
  return found


def write_park(
  path: pathlib.Path, config=CONFIG, steps=(10, 20), save=torch_trees.write
) -> None:
  """A run a split, with some checkpoints each."""
  table = {}
  for k, split in enumerate(('train', 'val', 'test')):
    table[split] = {'path': [], 'score': [], 'step': []}
    for step in steps:
      place = f'cifar10_zooV2/run_{k}/checkpoint_{step:06d}'
      content = {
        'model': state_dict(config, 100 * k + step),
        'optimizer': {'state': {}},
        'config': config,
        'iteration': step,
      }
      save(path / place / 'checkpoint.pt', content)
      table[split]['path'].append(f'{place}/checkpoint.pt')
      table[split]['score'].append(0.1 * k + step / 100)
      table[split]['step'].append(step)
  (path / 'cnn_park_splits.json').write_text(json.dumps(table))
