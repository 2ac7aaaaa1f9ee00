# SPDX-License-Identifier: Apache-2.0
"""NFN (Zhou et al., 2023) on INRs: which image does a network draw?

python experiments/inr_classification.py --workdir=runs/nfn \
  --config=configs/inr_classification/nfn.py:digits

A variant is a base, then any modifiers, joined by '+': 'paper+small'.

paper, mnist: 55,000 MNIST INRs, 200 epochs of 430 steps, trained as NG-GNN and
  NG-T are; 53 million parameters. Not run here; the paper has 78.5 +- 0.2 %
  test accuracy, and 79.1 +- 0.8 % with --config.model.variant=hnp.
fashion_mnist: the same on Fashion-MNIST. Not run here; the paper has
  68.2 +- 0.3 %.
digits: five INRs of each 8x8 digit, narrow layers, normalised inputs, 2,000
  steps. 17.5 % test accuracy, one seed (two shared CPU cores, 2026-11-24, jax
  0.10.1): NFN needs more networks than these. 8,000 steps (and
  --config.schedule.decay_steps=4000) bring 60.6 % on the training networks, but
  19.0 % on the test networks.
smoke: a few digits and steps, to show that everything runs. Under a minute.

Modifiers: 'small' (4,000 training INRs, 40 epochs), 'original_recipe' (the NFN
paper's training: Adam at 1e-4, batches of 32, 200,000 steps). MNIST and
Fashion-MNIST need --config.data.image_dir, a folder with the publisher's four
files; making all INRs takes hours on a CPU.
"""

import ml_collections

from ng_jax.train import classification_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'paper+small'."""
  return classification_variants.make_config('nfn', variant)
