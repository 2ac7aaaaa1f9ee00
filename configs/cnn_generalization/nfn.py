# SPDX-License-Identifier: Apache-2.0
"""NFN (HNP or NP) on CNNs: how accurate is a network? Score: Kendall's tau.

python experiments/cnn_generalization.py --workdir=runs/zoo_nfn \
  --config=configs/cnn_generalization/nfn.py:digits

paper: the same as small_zoo.
small_zoo: CIFAR10-GS, 300 epochs; needs --config.data.path=<its folder>.
  Not run here; the paper has tau 0.934 +- 0.001, NFN-NP 0.922 +- 0.001.
fashion_mnist_one_shape, fashion_mnist: 150 CNNs of one shape, two activations
  and five learning rates on Fashion-MNIST, 14 x 14 pixels; needs
  --config.data.image_dir=<folder> the first time, which makes the zoo.
digits_one_shape, digits: the same on the 8x8 digits, needs no files. Minutes on
  two cores.
smoke: a tiny zoo and a few steps, to show that everything runs.

NFN reads networks of one shape of weights, and does not see their activations.
Modifier: 'np', NFN-NP, as in 'digits+np'.
"""

import ml_collections

from ng_jax.train import generalization_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'smoke'."""
  return generalization_variants.make_config('nfn', variant)
