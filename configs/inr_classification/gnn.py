# SPDX-License-Identifier: Apache-2.0
"""NG-GNN on INRs: which image does a network draw?

python experiments/inr_classification.py --workdir=runs/gnn \
  --config=configs/inr_classification/gnn.py:digits

A variant is a base, then any modifiers, joined by '+': 'paper+probes_64'.

paper, mnist: 55,000 MNIST INRs, 200 epochs of 430 steps, no probes. Not run
  here; the paper has 91.4 +- 0.6 % test accuracy, 83.9 +- 0.3 % without
  positions ('no_positions'), about 97 to 98 % with 'probes_64'.
fashion_mnist: the same on Fashion-MNIST. Not run here; the paper has
  68.0 +- 0.2 %.
digits: five INRs of each 8x8 digit, 64 probes, 2,000 steps. Four minutes
  on two shared CPU cores (2026-11-24, jax 0.12.0), the INRs included;
  94.4 % test accuracy, one seed.
smoke: a few digits and steps, to show that everything runs. Under a minute.

Modifiers: 'no_positions', 'probes_16', 'probes_64', 'generated_probes' (from a
deep linear generator; 64 unless another modifier says so), 'probe_outputs' (the
readout, as wide and deep as that of probing, also gets the outputs on the
probes), 'normalised_readout' (a batch norm before it and coarse features, to
learn in fewer steps), 'layer_means' (it gets the mean of every layer, not the
output nodes), 'mild_augmentation' (that of the digits) and 'small' (4,000
training INRs, 40 epochs). MNIST and Fashion-MNIST need --config.data.image_dir,
a folder with the publisher's four files; making all INRs takes hours on a CPU.
"""

import ml_collections

from ng_jax.train import classification_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'paper+probes_64'."""
  return classification_variants.make_config('ng_gnn', variant)
