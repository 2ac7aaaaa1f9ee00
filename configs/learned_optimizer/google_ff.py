# SPDX-License-Identifier: Apache-2.0
"""A learned optimizer. The MLP of the library learned_optimization.

python experiments/learned_optimizer.py --workdir=runs/google_ff \
  --config=configs/learned_optimizer/google_ff.py:two_cores \
  --config.data.image_dir=FOLDER

The authors of the paper do not have this optimizer.
The variants are described in ng_jax/train/meta_variants.py.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('google_ff', variant)
