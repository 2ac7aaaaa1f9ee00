# SPDX-License-Identifier: Apache-2.0
"""Table: how accurate is a CNN, judged by its weights?

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/cnn_generalization.py:two_cores --image_dir=FOLDER

two_cores: zoos of ours on Fashion-MNIST, 14 rows, three seeds: at most 10
  minutes a run on two CPU cores, NG-T on mixed architectures 13 to 45; and once
  about a quarter of an hour for either zoo, on slow cores an hour for the mixed
  one.
paper: the published zoos, --path=<folder of the zoo> with --rows=<rows on it>.
smoke: tiny zoos, two rows. A minute or two.
"""

import ml_collections

from ng_jax.results import tables
from ng_jax.results import variants

_METRICS = (
  tables.Metric('test_tau', "Kendall's tau", chance=0.0),
  tables.Metric('test_r2', 'R2'),
)
_MIXED, _ONE = 'mixed architectures', 'one architecture'
# Rows that were measured with running averages of the batch norm.
_TRAILING = ('precise_batch_stats=0',)


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the table of a variant, such as 'two_cores' or 'smoke'."""
  make = variants.choose(
    variant, {'two_cores': _two_cores, 'paper': _paper, 'smoke': _smoke}
  )
  return make()


def _two_cores() -> ml_collections.ConfigDict:
  rows = [
    _row('ng_gnn', 'NG-GNN', 'gnn.py:fashion_mnist', _MIXED, 3,
         '0.804 ± 0.009'),
    _row(
      'ng_gnn_no_activations',
      'NG-GNN, activations unknown',
      'gnn.py:fashion_mnist+no_activations',
      _MIXED,
      3,
      '0.778 ± 0.018',
    ),
    _row('ng_t', 'NG-T', 'transformer.py:fashion_mnist', _MIXED, 20,
         '0.817 ± 0.007'),
    _row(
      'ng_t_no_activations',
      'NG-T, activations unknown',
      'transformer.py:fashion_mnist+no_activations',
      _MIXED,
      20,
      '0.728 ± 0.010',
    ),
    _row('ng_gnn_normalised', 'NG-GNN, normalised readout',
         'gnn.py:fashion_mnist+normalised_readout', _MIXED, 7, ''),
    _row('ng_t_normalised', 'NG-T, normalised readout',
         'transformer.py:fashion_mnist+normalised_readout', _MIXED, 20, '',
         _TRAILING),
    _row('statnn', 'StatNN', 'statnn.py:fashion_mnist', _MIXED, 0.3,
         '0.719 ± 0.010'),
    _row('ng_gnn_one', 'NG-GNN', 'gnn.py:fashion_mnist_one_shape', _ONE, 3,
         '0.930 ± 0.001'),
    _row('ng_t_one', 'NG-T', 'transformer.py:fashion_mnist_one_shape', _ONE, 8,
         '0.935 ± 0.000'),
    _row('ng_gnn_normalised_one', 'NG-GNN, normalised readout',
         'gnn.py:fashion_mnist_one_shape+normalised_readout', _ONE, 5, ''),
    _row('ng_t_normalised_one', 'NG-T, normalised readout',
         'transformer.py:fashion_mnist_one_shape+normalised_readout', _ONE, 10,
         '', _TRAILING),
    _row('nfn_one', 'NFN-HNP', 'nfn.py:fashion_mnist_one_shape', _ONE, 3,
         '0.934 ± 0.001'),
    _row('nfn_np_one', 'NFN-NP', 'nfn.py:fashion_mnist_one_shape+np', _ONE, 3,
         '0.922 ± 0.001'),
    _row('statnn_one', 'StatNN', 'statnn.py:fashion_mnist_one_shape', _ONE, 0.3,
         '0.915 ± 0.002'),
  ]  # fmt: skip
  return _assemble(
    rows,
    variant='two_cores',
    protocol=(
      'Zoos of CNNs on Fashion-MNIST averaged to 14x14, split by run, stored '
      'after each of 5 epochs on 3,000 images. Mixed: 300 CNNs of 150 shapes '
      'of weights. One architecture: 150 CNNs of 3 convolutions of 16 '
      'channels, ReLU or tanh in each layer. 20 epochs in batches of 32, the '
      'checkpoint with the best validation tau. *Normalised readout*: batch '
      'norm before it (statistics anew before an evaluation; NG-T: running '
      'averages), and Fourier features of scale 0.3. The standard error is a '
      'bound that takes checkpoints for independent.'
    ),
  )


def _paper() -> ml_collections.ConfigDict:
  rows = [
    _row('ng_gnn', 'NG-GNN', 'gnn.py:paper', 'Wild Park', 400,
         '0.804 ± 0.009'),
    _row('ng_gnn_no_activations', 'NG-GNN, activations unknown',
         'gnn.py:paper+no_activations', 'Wild Park', 400, '0.778 ± 0.018'),
    _row('ng_t', 'NG-T', 'transformer.py:paper', 'Wild Park', 4_000,
         '0.817 ± 0.007'),
    _row('ng_t_no_activations', 'NG-T, activations unknown',
         'transformer.py:paper+no_activations', 'Wild Park', 4_000,
         '0.728 ± 0.010'),
    _row('statnn', 'StatNN', 'statnn.py:paper', 'Wild Park', 30,
         '0.719 ± 0.010'),
    _row('ng_gnn_small', 'NG-GNN', 'gnn.py:small_zoo', 'CIFAR10-GS', 6_000,
         '0.930 ± 0.001'),
    _row('ng_t_small', 'NG-T', 'transformer.py:small_zoo', 'CIFAR10-GS',
         20_000, '0.935 ± 0.000'),
    _row('nfn_small', 'NFN-HNP', 'nfn.py:small_zoo', 'CIFAR10-GS', 500,
         '0.934 ± 0.001'),
    _row('statnn_small', 'StatNN', 'statnn.py:small_zoo', 'CIFAR10-GS', 60,
         '0.915 ± 0.002'),
  ]  # fmt: skip
  return _assemble(
    rows,
    variant='paper',
    protocol=(
      'As published: the CNN Wild Park, 20 epochs; CIFAR10-GS, 300 epochs. '
      'Without --path, the Wild Park is made, which takes days.'
    ),
  )


def _smoke() -> ml_collections.ConfigDict:
  return _assemble(
    [
      _row('statnn', 'StatNN', 'statnn.py:smoke', _MIXED, 1, ''),
      _row('nfn_one', 'NFN-HNP', 'nfn.py:smoke', _ONE, 1, ''),
    ],
    variant='smoke',
    num_seeds=1,
    protocol='Tiny zoos of digits and six steps: shows that everything runs.',
  )


def _row(
  name: str,
  label: str,
  config: str,
  data: str,
  minutes: float,
  paper: str,
  overrides: tuple[str, ...] = (),
) -> tables.Row:
  return tables.Row(
    name=name,
    label=label,
    config=config,
    data=data,
    overrides=overrides,
    paper=paper,
    minutes=minutes,
  )


def _assemble(
  rows: list[tables.Row], *, variant: str, protocol: str, num_seeds: int = 3
) -> ml_collections.ConfigDict:
  return tables.make_config(
    metrics=_METRICS,
    rows=rows,
    num_seeds=num_seeds,
    paper_column="the paper's, published zoos",
    name='cnn_generalization',
    variant=variant,
    title='Accuracy of CNNs from their weights',
    binary='cnn_generalization',
    protocol=protocol,
  )
