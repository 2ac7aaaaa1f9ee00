# SPDX-License-Identifier: Apache-2.0
"""Table: dilate the digit that a network draws.

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/inr_editing.py:two_cores --image_dir=FOLDER

two_cores: the 11,000 networks of inr_classification_mnist.py, 8 rows, three
  seeds: 3 to 20 minutes a run on two CPU cores.
paper: everything as published; days a row on two cores.
smoke: a few digits, two rows. A minute or two.
"""

import ml_collections

from ng_jax.results import tables
from ng_jax.results import variants

_METRICS = (
  tables.Metric(
    'test_mse',
    'squared error x 100',
    scale=100,
    digits=2,
    higher_is_better=False,
    chance='no_edit_mse',
  ),
  tables.Metric('no_edit_mse', 'without an edit', scale=100, digits=2),
)
_PAPER = {
  'ng_gnn': '2.38 ± 0.02',
  'ng_gnn_probes': '2.06 ± 0.01',
  'ng_t': '2.44 ± 0.03',
  'ng_t_probes': '1.75 ± 0.01',
  'nfn': '2.55 ± 0.00',
  'nfn_hnp': '2.65 ± 0.01',
  'dws': '2.58 ± 0.00',
  'mlp': '5.35 ± 0.00',
}
_LABELS = {
  'ng_gnn': ('NG-GNN', 'gnn.py:{}'),
  'ng_gnn_probes': ('NG-GNN, 64 probes', 'gnn.py:{}+probes_64'),
  'ng_t': ('NG-T', 'transformer.py:{}'),
  'ng_t_probes': ('NG-T, 64 probes', 'transformer.py:{}+probes_64'),
  'nfn': ('NFN-NP', 'nfn.py:{}'),
  'nfn_hnp': ('NFN-HNP', 'nfn.py:{}'),
  'dws': ('DWSNets', 'dws.py:{}'),
  'mlp': ('MLP', 'mlp.py:{}'),
}
_SHORT = (
  'optimizer.learning_rate=2e-3',
  'schedule.name=cosine',
  'schedule.warmup_steps=100',
  'schedule.decay_steps=0',
  'batch_size=32',
  'eval_every=250',
  'num_steps=1500',
)
_GNN = ('model.hidden_size=64', 'model.dropout=0.0', 'microbatch_size=8')
_NG_T = (
  'optimizer.learning_rate=1e-3',
  'model.num_layers=2',
  'model.dropout=0.0',
  'microbatch_size=2',
)
_NFN = ('model.channels=(64,64,64)', 'model.fourier_size=32')
_TWO_CORES = {
  'ng_gnn': (_GNN, 8),
  'ng_gnn_probes': (_GNN, 9),
  'ng_t': (_NG_T, 12),
  'ng_t_probes': (_NG_T, 13),
  'nfn': ((*_NFN, 'microbatch_size=8'), 8),
  'nfn_hnp': ((*_NFN, 'microbatch_size=8', 'model.variant=hnp'), 8),
  'dws': (('model.hidden_size=16', 'model.num_layers=3'), 20),
  'mlp': (('model.hidden_size=256',), 3),
}
_PAPER_MINUTES = {
  'ng_gnn': 3_000,
  'ng_gnn_probes': 3_100,
  'ng_t': 3_700,
  'ng_t_probes': 3_800,
  'nfn': 5_000,
  'nfn_hnp': 5_000,
  'dws': 4_000,
  'mlp': 60,
}


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the table of a variant, such as 'two_cores' or 'smoke'."""
  make = variants.choose(
    variant, {'two_cores': _two_cores, 'paper': _paper, 'smoke': _smoke}
  )
  return make()


def _two_cores() -> ml_collections.ConfigDict:
  rows = [
    _row(name, 'mnist', overrides=overrides, minutes=minutes)
    for name, (overrides, minutes) in _TWO_CORES.items()
  ]
  return _assemble(
    rows,
    variant='two_cores',
    overrides=(
      'data.num_train=8000',
      'data.num_validation=1000',
      'data.num_test=2000',
      'data.num_steps=2000',
      'log_every=50',
      *_SHORT,
    ),
    protocol=(
      '8,000 training networks of MNIST, independent initialisations, fitted '
      'with 2,000 steps each; 1,500 steps of 32 (6 epochs), one cosine. '
      'NG-GNN 64 wide, NG-T of 2 blocks, NFN of 64 channels, DWSNets 16 wide.'
    ),
  )


def _paper() -> ml_collections.ConfigDict:
  rows = [
    _row(
      name,
      'mnist',
      overrides=('model.variant=hnp',) if name == 'nfn_hnp' else (),
      minutes=minutes,
    )
    for name, minutes in _PAPER_MINUTES.items()
  ]
  return _assemble(
    rows,
    variant='paper',
    protocol='As published: 55,000 training networks of MNIST, 200 epochs.',
  )


def _smoke() -> ml_collections.ConfigDict:
  return _assemble(
    [_row(name, 'smoke') for name in ('ng_gnn', 'mlp')],
    variant='smoke',
    num_seeds=1,
    protocol='A few digits and six steps: shows that everything runs.',
  )


def _row(
  name: str,
  base: str,
  *,
  overrides: tuple[str, ...] = (),
  minutes: float = 1.0,
) -> tables.Row:
  label, config = _LABELS[name]
  return tables.Row(
    name=name,
    label=label,
    config=config.format(base),
    overrides=overrides,
    paper='' if base == 'smoke' else _PAPER[name],
    minutes=minutes,
  )


def _assemble(
  rows: list[tables.Row],
  *,
  variant: str,
  protocol: str,
  num_seeds: int = 3,
  overrides: tuple[str, ...] = (),
) -> ml_collections.ConfigDict:
  return tables.make_config(
    metrics=_METRICS,
    rows=rows,
    num_seeds=num_seeds,
    overrides=overrides,
    paper_column="the paper's, 55,000 networks",
    name='inr_editing',
    variant=variant,
    title='Dilation of MNIST INRs',
    binary='inr_editing',
    protocol=protocol,
  )
