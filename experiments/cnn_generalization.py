# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or predicts with a predictor of accuracies or classes.

python experiments/cnn_generalization.py \
  --config=configs/cnn_generalization/gnn.py:digits --workdir=runs/zoo_gnn

Fields are changed on the command line, as in --config.batch_size=64. A zoo of
one's own, a folder of .safetensors or .npz files, labels.csv and spec.json (see
`ng_jax.data.cnn_zoo.folder`), is read with

  --config.data.kind=folder --config.data.path=<folder>

with --config.loss=cross_entropy where labels.csv holds classes. In place of
spec.json, the Flax module that the networks are of may be named:

  --config.data.module=<package.module>:<Name> \
  --config.data.input_shape='(28, 28, 1)'

Published zoos are read with --config.data.kind=small_zoo or =wild_park.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app

from ng_jax.train import command_line
from ng_jax.train import generalization


def _summarize(metrics: dict[str, float]) -> str:
  if 'test_accuracy' in metrics:
    return f'test accuracy: {metrics["test_accuracy"]:.3f}'
  tau, r2 = metrics['test_tau'], metrics['test_r2']
  return f'test tau: {tau:.3f}, R2: {r2:.3f}'


main = command_line.define_main(
  run=generalization.run,
  measures={'evaluate': ('measure it', generalization.evaluate)},
  summarize=_summarize,
  writers={
    'predict': ('predictions', generalization.predict),
    'export': ('model', generalization.export),
  },
)

if __name__ == '__main__':
  app.run(main)
