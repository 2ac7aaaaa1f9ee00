# SPDX-License-Identifier: Apache-2.0
"""DWSNets on INRs: which image does a network draw?

python experiments/inr_classification.py --workdir=runs/dws \
  --config=configs/inr_classification/dws.py:digits

A variant is a base, then perhaps 'small': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs and the recipe of Navon et al. (2023): rate
  5e-3, batch 512, 100 epochs of 108 steps; the rest as for the other models.
  They normalise each entry by its own mean and deviation over the set; here
  each layer has one of either, as for all models. Not run here.
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, other widths, 600 steps. Eight minutes
  on two shared CPU cores (2026-11-24, jax 0.10.1), compilation included and
  the INRs not; 30.4 % test accuracy, one seed.
smoke: a few digits and steps, to show that everything runs. Under two minutes.

'small' takes 4,000 training INRs and 40 epochs. MNIST and Fashion-MNIST need
--config.data.image_dir, a folder with the publisher's four files; making all
INRs takes hours on a CPU.
"""

import ml_collections

from ng_jax.train import classification_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'paper+small'."""
  return classification_variants.make_config('dws', variant)
