# SPDX-License-Identifier: Apache-2.0
"""A learned optimizer. FF with NG-T on the neural graph for context.

python experiments/learned_optimizer.py --workdir=runs/ng_t \
  --config=configs/learned_optimizer/ng_t.py:two_cores \
  --config.data.image_dir=FOLDER

The authors have 86.52 +- 0.19 and 60.79 +- 0.51 % test accuracy (Fashion-MNIST,
CIFAR-10) with 'paper'.
The variants are described in ng_jax/train/meta_variants.py.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('ng_t', variant)
