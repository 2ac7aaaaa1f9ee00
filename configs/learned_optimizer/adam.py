# SPDX-License-Identifier: Apache-2.0
"""Adam, tuned on a hold-out: what learned optimizers are compared with.

python experiments/learned_optimizer.py --workdir=runs/adam \
  --config=configs/learned_optimizer/adam.py:two_cores \
  --config.data.image_dir=FOLDER

Nothing is meta-trained. The grid of rates and weight decays is searched on the
first evaluation task; the best setting is measured on all of them.

The authors have 80.97 +- 0.66 and 54.76 +- 2.82 % test accuracy (Fashion-MNIST,
CIFAR-10) with a grid of their own. Variants are those of the learned optimizers
(ng_jax/train/meta_variants.py), of which only `evaluation` counts here:
two_cores takes an hour or so on two cores.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('adam', variant)
