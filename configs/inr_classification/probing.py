# SPDX-License-Identifier: Apache-2.0
"""Probing baselines on INRs: which image does a network draw?

python experiments/inr_classification.py --workdir=runs/probing \
  --config=configs/inr_classification/probing.py:digits

Reads the networks' outputs on learned inputs and no weight (Kahana et al., ICLR
2025); a variant is a base, then any modifiers, joined by '+':
'paper+generated_probes' is ProbeGen.

paper, mnist: 55,000 MNIST INRs, 64 probes, 30 epochs of 1,719 steps, Adam with
  a cosine over the whole run, no augmentation. Not run here; its authors report
  about 98.4 % test accuracy for ProbeGen.
fashion_mnist: the same on Fashion-MNIST. Not run here; about 87.7 %.
digits: the same on five INRs of each 8x8 digit, 6,060 steps. Two minutes on two
  shared CPU cores (2026-11-24, jax 0.10.1), the INRs included; 95.1 % test
  accuracy, one seed, and 94.9 % with 'generated_probes'.
smoke: a few digits and steps, to show that everything runs. Under a minute.

Modifiers: 'generated_probes', 'probes_16', 'probes_64', 'mild_augmentation'
(what the INRs draw is shifted by a tenth, turned by 10 degrees and scaled) and
'small' (4,000 training INRs, 40 epochs). MNIST and Fashion-MNIST need
--config.data.image_dir, a folder with the publisher's four files; making all
INRs takes hours on a CPU.
"""

import ml_collections

from ng_jax.train import classification_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant: 'digits', 'paper+generated_probes'."""
  return classification_variants.make_config('probing', variant)
