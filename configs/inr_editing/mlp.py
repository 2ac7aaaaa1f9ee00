# SPDX-License-Identifier: Apache-2.0
"""an MLP on flattened weights on INRs: dilate the image that a network draws.

python experiments/inr_editing.py --workdir=runs/mlp_dilate \
  --config=configs/inr_editing/mlp.py:digits

A variant is a base, then any modifiers, joined by '+': 'mnist+small'.

paper, mnist: 55,000 MNIST INRs, trained as NG-GNN is, three hidden layers of
  1,000. Not run here; the paper has a squared error x 100 of 5.35 +- 0.00.
fashion_mnist: the same on Fashion-MNIST. Not run here.
digits: five INRs of each 8x8 digit, hidden layers of 256, 1,000 steps. Squared
  error x 100 on the test networks 10.48, one seed, 27.63 without an edit; under
  a minute on two shared CPU cores (2026-11-24, jax 0.10.1), the INRs not
  included.
two_cores: 11,000 MNIST INRs (8,000 to train on), width 256, 4,000 steps. The
  INRs take 40 minutes or so on two cores, once for all models. Not run to the
  end here.
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
  return editing_variants.make_config('mlp_edit', variant)
