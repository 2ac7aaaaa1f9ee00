# SPDX-License-Identifier: Apache-2.0
"""StatNN on INRs: which image does a network draw?

python experiments/inr_classification.py --workdir=runs/statnn \
  --config=configs/inr_classification/statnn.py:digits

A variant is a base, then perhaps 'small': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs, 200 epochs of 430 steps, 42 features of
  weights that are normalised per layer, hidden layers of 1,000. The paper has
  no StatNN on INRs; the settings are ours. Not run here.
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, other widths, 2,000 steps. Three
  minutes on two shared CPU cores (2026-11-24, jax 0.10.1), the INRs included;
  23.3 % test accuracy, one seed.
smoke: a few digits and steps, to show that everything runs. Under a minute.

'small' takes 4,000 training INRs and 40 epochs. MNIST and Fashion-MNIST need
--config.data.image_dir, a folder with the publisher's four files; making all
INRs takes hours on a CPU.
"""

import ml_collections

from ng_jax.train import classification_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'paper+small'."""
  return classification_variants.make_config('statnn', variant)
