# SPDX-License-Identifier: Apache-2.0
"""NG-GNN on CNNs: how accurate is a network? Score: Kendall's tau.

python experiments/cnn_generalization.py --workdir=runs/zoo_gnn \
  --config=configs/cnn_generalization/gnn.py:digits

paper: the CNN Wild Park as published, 20 epochs; makes the zoo, or reads the
  published one with --config.data.kind=wild_park --config.data.path=<folder>.
  Not run here; the paper has tau 0.804 +- 0.009 on the published zoo.
small_zoo: CIFAR10-GS, 300 epochs; needs --config.data.path=<its folder>.
  Not run here; the paper has tau 0.930 +- 0.001.
fashion_mnist: 150 shapes on Fashion-MNIST, 14 x 14 pixels; needs
  --config.data.image_dir=<folder> the first time, which makes the zoo.
digits: the same on the 8x8 digits, needs no files. Minutes on two cores.
combined: INRs and CNNs of the sets in --config.data.path=<folder>; predicts the
  images that a network was trained on.
fashion_mnist_one_shape, digits_one_shape: zoos of one shape of weights, which
  'nfn' reads too.
smoke: a tiny zoo and a few steps, to show that everything runs.

Modifiers: 'no_activations', the ablation of the activation embeddings (paper:
0.778 +- 0.018), and 'normalised_readout', a batch norm before the readout and
coarse features.
"""

import ml_collections

from ng_jax.train import generalization_variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the config of a variant, such as 'digits' or 'smoke'."""
  return generalization_variants.make_config('ng_gnn', variant)
