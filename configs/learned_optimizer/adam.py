# SPDX-License-Identifier: Apache-2.0
"""Adam, tuned on a hold-out: what learned optimizers are compared with.

python experiments/learned_optimizer.py --workdir=runs/adam \
  --config=configs/learned_optimizer/adam.py:two_cores \
  --config.data.image_dir=FOLDER

Nothing is meta-trained. The grid of rates and weight decays is searched on the
first evaluation task; the best setting is measured on all of them.

paper, pes, mixture: tuned on Fashion-MNIST's CNN, measured also on CIFAR-10.
  Not run here; the authors have 80.97 +- 0.66 and 54.76 +- 2.82 % test accuracy
  (Fashion-MNIST, CIFAR-10) with a grid of their own.
two_cores: Fashion-MNIST only. An hour or so on two cores.
smoke: two rates on digits, to show that everything runs. Under a minute.

All but 'smoke' need --config.data.image_dir, a folder with the publishers'
files.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('adam', variant)
