# SPDX-License-Identifier: Apache-2.0
"""NFN (Zhou et al., 2023) on INRs: dilate the image that a network draws.

python experiments/inr_editing.py --workdir=runs/nfn_dilate \
  --config=configs/inr_editing/nfn.py:digits

A variant is a base, then any modifiers, joined by '+': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs, trained as NG-GNN is. Not run here; the
  paper has a squared error x 100 of 2.55 +- 0.00, and 2.65 +- 0.01 with
  --config.model.variant=hnp (there --config.model.io_bands=0).
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, three layers of 64 channels, 1,000 steps.
  Squared error x 100 on the test networks 5.26, one seed, 27.63 without an
  edit, 5.35 for the mean target of the training networks; two minutes on two
  shared CPU cores (2026-11-24, jax 0.10.1), the INRs not included.
two_cores: 11,000 MNIST INRs (8,000 to train on), width 32, 3,000 steps. 0.03
  seconds of processor time a step, 2 minutes on a core (AMD EPYC, jax 0.10.1),
  the INRs not included, which take 40 minutes or so on two cores, once for all
  models. Not run to the end here.
smoke: a few digits and steps, to show that everything runs. Under a minute.

Modifiers: 'out_of_domain' (also evaluates on Fashion-MNIST; needs
--config.out_of_domain.image_dir), 'original_recipe' (the NFN paper's training:
Adam, batches of 32, 50,000 steps), 'small' (4,000 training INRs, 40 epochs).

MNIST and Fashion-MNIST need --config.data.image_dir, a folder with the
publisher's four files; making all INRs takes hours on a CPU.
--config.edit=contrast learns another edit,
--config.edit=package.module:function one of yours.
"""

import ml_collections

from ng_jax.train import editing_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'mnist+small'."""
  return editing_variants.make_config('nfn_edit', variant)
