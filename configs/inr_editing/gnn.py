# SPDX-License-Identifier: Apache-2.0
"""NG-GNN on INRs: dilate the image that a network draws.

python experiments/inr_editing.py --workdir=runs/gnn_dilate \
  --config=configs/inr_editing/gnn.py:digits

A variant is a base, then any modifiers, joined by '+': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs, 200 epochs of 430 steps, warm-up over 10,000,
  nodes and edges of width 128, no Fourier features, no probes. Not run here;
  the paper has a squared error x 100 of 2.38 +- 0.02, and 2.06 +- 0.01 with
  'probes_64'. (Its code takes the updates of biases from the wrong nodes,
  which --config.model.biases_from_start=True imitates.)
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, width 64, 16 probes, 1,000 steps. Squared
  error x 100 on the test networks 4.17, one seed, 27.63 without an edit, 5.35
  for the mean target of the training networks; seven minutes on two shared
  CPU cores (2026-11-24, jax 0.10.1), the INRs not included.
two_cores: 11,000 MNIST INRs (8,000 to train on), width 64, 16 probes, 1,500
  steps. 0.4 seconds of processor time a step (AMD EPYC, jax 0.10.1, measured
  without probes), 10 to 12 minutes on a core, the INRs not included, which take
  40 minutes or so on two cores, once for all models. Not run to the end here.
smoke: a few digits and steps, to show that everything runs. Under a minute.

Modifiers: 'probes_64' (64 learned probe inputs), 'out_of_domain' (also
evaluates on Fashion-MNIST; needs --config.out_of_domain.image_dir), 'small'
(4,000 training INRs, 40 epochs).

MNIST and Fashion-MNIST need --config.data.image_dir, a folder with the
publisher's four files; making all INRs takes hours on a CPU.
--config.edit=contrast learns another edit,
--config.edit=package.module:function one of yours.
"""

import ml_collections

from ng_jax.train import editing_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'mnist+small'."""
  return editing_variants.make_config('ng_gnn_edit', variant)
