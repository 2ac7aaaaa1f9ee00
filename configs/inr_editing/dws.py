# SPDX-License-Identifier: Apache-2.0
"""DWSNets on INRs: dilate the image that a network draws.

python experiments/inr_editing.py --workdir=runs/dws_dilate \
  --config=configs/inr_editing/dws.py:digits

A variant is a base, then any modifiers, joined by '+': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs, trained as NG-GNN is, with learned scales of
  the updates, which the published configuration lacks. Not run here; the
  paper has a squared error x 100 of 2.58 +- 0.00.
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, three layers of 16 features, 600 steps.
  Not run here.
two_cores: 11,000 MNIST INRs (8,000 to train on), width 16, 1,500 steps; they
  take 40 minutes or so on two cores, once for all models. Not run to the end
  here.
smoke: a few digits and steps, to show that everything runs. Under two minutes.

Modifiers: 'out_of_domain' (also evaluates on Fashion-MNIST; needs
--config.out_of_domain.image_dir), 'small' (4,000 training INRs, 40 epochs).

MNIST and Fashion-MNIST need --config.data.image_dir, a folder with the
publisher's four files; making all INRs takes hours on a CPU.
--config.edit=contrast learns another edit,
--config.edit=package.module:function one of yours.
"""

import ml_collections

from ng_jax.train import editing_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'mnist+small'."""
  return editing_variants.make_config('dws_edit', variant)
