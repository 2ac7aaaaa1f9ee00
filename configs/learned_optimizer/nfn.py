# SPDX-License-Identifier: Apache-2.0
"""A learned optimizer. FF with a neural functional (NFN) for context.

python experiments/learned_optimizer.py --workdir=runs/nfn \
  --config=configs/learned_optimizer/nfn.py:two_cores \
  --config.data.image_dir=FOLDER

paper: the authors' protocol, 1,000 outer steps of 100 inner steps on
  Fashion-MNIST's CNN, greedy; then 1,000 steps from five seeds, also on
  CIFAR-10. Not run here; the authors have 83.78 +- 0.58 and 57.95 +- 0.64 %
  test accuracy (Fashion-MNIST, CIFAR-10).
two_cores: images of 14x14, batches of 64, 300 outer steps of 50 inner steps;
  measured on images of 28x28 in batches of 128. Up to an hour on two cores.
pes: persistent evolution strategies, 16 particles, windows of 50 of 1,000 inner
  steps, 5,000 outer steps. Not run here.
mixture: five networks of several kinds and sizes in turn, 300 steps an episode;
  so the optimizers that ship with ng_jax were trained.
smoke: a few steps on digits, to show that everything runs. Under a minute.

All but 'smoke' need --config.data.image_dir, a folder with the publishers'
files; 'paper' and 'pes' those of CIFAR-10 too, unless
--config.evaluation.tasks leaves it out.
"""

import ml_collections

from ng_jax.train import meta_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'two_cores' or 'smoke'."""
  return meta_variants.make_config('nfn', variant)
