# SPDX-License-Identifier: Apache-2.0
"""Meta-trains an optimizer, selects on a hold-out and measures on test images.

python experiments/learned_optimizer.py \
  --config=configs/learned_optimizer/ff.py:two_cores --workdir=runs/ff \
  --config.data.image_dir=FOLDER

Fields are changed on the command line, as in --config.num_steps=500. The theta
that is best on the hold-out is kept in <workdir>/theta.safetensors; load it
with ng_jax.optimizers.load. With --mode=evaluate it is measured on other tasks:

  --mode=evaluate --config.evaluation.tasks="('cifar10_cnn',)"
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # See devices.py.

from absl import app

from ng_jax.train import command_line
from ng_jax.train import learned_optimizer


def _summarize(metrics: dict[str, float]) -> str:
  return f'test accuracy: {metrics["test_accuracy"]:.3f}'


main = command_line.define_main(
  run=learned_optimizer.run,
  measures={'evaluate': ('measure it', learned_optimizer.evaluate)},
  summarize=_summarize,
  writers={},
)

if __name__ == '__main__':
  app.run(main)
