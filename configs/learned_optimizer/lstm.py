# SPDX-License-Identifier: Apache-2.0
"""A learned optimizer. FF with an LSTM that passes over the layers.

python experiments/learned_optimizer.py --workdir=runs/lstm \
  --config=configs/learned_optimizer/lstm.py:two_cores \
  --config.data.image_dir=FOLDER

The authors have 85.69 +- 0.23 and 59.10 +- 0.66 % test accuracy (Fashion-MNIST,
CIFAR-10) with 'paper'.
The variants are described in ng_jax/train/meta_variants.py.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('lstm', variant)
