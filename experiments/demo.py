# SPDX-License-Identifier: Apache-2.0
"""The main job in minutes: handwritten digits, read from network weights.

Fits a small network to every 8x8 digit of scikit-learn, several times, then
trains NG-GNN to tell from the weights of such a network which digit it draws.
Run again it reuses the networks and goes on where it stopped.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

import sys
import time

from absl import app
from absl import flags
import numpy as np

from ng_jax.train import classification
from ng_jax.train import classification_variants
from ng_jax.train import devices
from ng_jax.train import inr_sources
from ng_jax.train import logging as logging_lib

_WORKDIR = flags.DEFINE_string('workdir', 'runs/demo', 'Where results go.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Where networks are kept.')
_VARIANT = flags.DEFINE_string('variant', 'digits', "'digits', or 'smoke'.")

_SUMMARY = """
What happened, in {minutes:.1f} minutes
  {networks:,} networks of sizes {sizes} were fitted to {images:,} digits
  (median PSNR {psnr:.0f} dB). NG-GNN learned to read them; the {tested:,} test
  networks and the digits that they draw are new to it.
Where to look: {workdir}
  pictures/inr_renderings.png, learning_curves.png, confusion_matrix.png
  metrics.jsonl, the numbers; the networks are in {data}
What to try next, in the folder of the repository
  {python} experiments/inr_classification.py \\
    --config=configs/inr_classification/gnn.py:{variant} --workdir={workdir} \\
    --mode=predict  # Writes predictions.csv, a line for each test network.
  {python} experiments/inr_classification.py \\
    --config=configs/inr_classification/transformer.py:{variant} \\
    --workdir=runs/ng_t  # The transformer, NG-T; it takes longer.
  {python} experiments/inr_classification.py --workdir=runs/fashion_mnist \\
    --config=configs/inr_classification/gnn.py:fashion_mnist+small+probes_64 \\
    --config.data.image_dir=FOLDER  # Of the four files; it takes hours.
"""


def main(argv: list[str]) -> None:
  """Makes the networks, trains, and says where everything is."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  start = time.perf_counter()
  logging_lib.show_progress()
  devices.use_compilation_cache()
  config = classification_variants.make_config('ng_gnn', _VARIANT.value)
  config.data.data_dir = _DATA_DIR.value
  print('1 of 2: fitting networks to digits ...', flush=True)
  dataset = inr_sources.load(config.data)
  print('2 of 2: training NG-GNN to read the networks ...', flush=True)
  metrics = classification.run(config, _WORKDIR.value, source='demo')
  splits = list(dataset.splits.values())
  num_networks = sum(map(len, splits))
  summary = _SUMMARY.format(
    minutes=(time.perf_counter() - start) / 60,
    networks=num_networks,
    sizes='-'.join(map(str, dataset.network.layer_sizes)),
    images=num_networks // dataset.settings.num_views,
    psnr=np.median(np.concatenate([split.psnr for split in splits])),
    tested=len(dataset.split('test')),
    workdir=_WORKDIR.value,
    data=dataset.path,
    variant=_VARIANT.value,
    python=os.path.relpath(sys.executable),
  )
  print(summary)
  print(f'test accuracy: {metrics["test_accuracy"]:.3f}')


if __name__ == '__main__':
  app.run(main)
