# SPDX-License-Identifier: Apache-2.0
"""The optimizers that ship, side by side with Adam on tasks by name.

python experiments/compare_optimizers.py --workdir=runs/unseen \
  --config=configs/compare_optimizers/shipped.py:unseen \
  --config.data.image_dir=FOLDER

FOLDER holds a folder each: mnist, fashion_mnist, and cifar10 (or
cifar-10-batches-bin, cifar-10-batches-py, or cifar10_subset for a part of it,
which tables call so). Killed, the same command goes on.

unseen: a Flax MLP 64-64-32-10 on digits, a CNN with GroupNorm on Fashion-MNIST
  and a CNN of four convolutions on MNIST, both of 14x14; 300 steps of 128, five
  seeds, Adam at 1e-3. About half an hour on two cores.
paper: the paper's CNNs on Fashion-MNIST and CIFAR-10, 1,000 steps, Adam tuned
  on the first. Its own optimizers have 83.78 to 86.52 and 57.55 to 64.37 %
  (configs/learned_optimizer). Hours.
fashion_mnist, cifar10: one of the two, Adam tuned on it.
generalisation: widths, depths, MLPs, GroupNorm, LayerNorm and a small ViT on
  CIFAR-10, 1,000 steps, Adam tuned on the paper's CNN. Days on two cores.
generalisation_14: the same networks on Fashion-MNIST of 14x14, 300 steps, two
  seeds, Adam at 1e-3. Hours.
long: 5,000 steps of the paper's CNN on CIFAR-10. A day on two cores.
smoke: two optimizers and two tasks of digits, 20 steps. A minute or two.

Other optimizers and tasks are given by name, files of theta by their paths:
  --config.optimizers="('ff_fashion_mnist', 'runs/ff/theta.safetensors')"
  --config.tasks="('cifar10_vit',)" --config.adam.tuned_on=each
"""

import ml_collections

from ng_jax.train import comparison_config


def get_config(variant: str = 'unseen') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'unseen' or 'smoke'."""
  return comparison_config.make_config(variant)
