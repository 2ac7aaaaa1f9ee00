# SPDX-License-Identifier: Apache-2.0
"""The tables of INR classification, alike for MNIST and Fashion-MNIST."""

from collections.abc import Mapping
import dataclasses

import ml_collections

from ng_jax.results import tables
from ng_jax.results import variants

_ACCURACY = tables.Metric(
  'test_accuracy', 'test accuracy, %', scale=100, digits=1, chance=0.1
)
_VALIDATION = tables.Metric(
  'best_validation_accuracy', 'validation, %', scale=100, digits=1
)
# Beyond the paper: what is left when the test networks are changed.
_ROBUSTNESS = [
  tables.Metric(f'{name}_accuracy', f'{label}, %', scale=100, digits=1)
  for name, label in (
    ('permuted', 'permuted'),
    ('pruned_10', '10 % pruned'),
    ('pruned_30', '30 % pruned'),
    ('bits_8', '8 bits'),
    ('bits_4', '4 bits'),
  )
]
_INDEPENDENT, _SHARED = 'independent', 'shared initialisation'

# A cosine over a short run, for the models that are trained as in the paper.
_SHORT = (
  'optimizer.learning_rate=2e-3',
  'schedule.name=cosine',
  'schedule.warmup_steps=100',
  'schedule.decay_steps=0',
  'batch_size=32',
  'eval_every=250',
)
_GNN = (*_SHORT, 'model.dropout=0.0', 'microbatch_size=8', 'num_steps=2000')
_NG_T = (
  *_SHORT,
  'optimizer.learning_rate=1e-3',
  'model.dropout=0.0',
  'model.num_layers=2',
  'microbatch_size=2',
  'num_steps=500',
)
# With `+normalised_readout`, a batch norm, which wants more at once. They were
# measured with its running averages.
_GNN_NORMALISED = (*_GNN, 'microbatch_size=32', 'precise_batch_stats=0')
_NG_T_NORMALISED = (*_NG_T, 'microbatch_size=16', 'precise_batch_stats=0')
_NFN = (
  *_SHORT,
  'model.channels=(64,64,64)',
  'model.readout_sizes=(128,128)',
  'model.fourier_size=32',
  'model.fourier_scale=3.0',
  'model.normalize=True',
  'model.dropout=0.0',
  'microbatch_size=8',
  'num_steps=2000',
)
_DWS = (
  *_SHORT,
  'model.hidden_size=16',
  'model.num_layers=3',
  'num_steps=1500',
)
# With `+mild_augmentation`, which the protocol else turns off.
_AUGMENTED = ('augmentation.enabled=True', 'optimizer.learning_rate=1e-3')
_DATA = (
  'data.num_train=8000',
  'data.num_validation=1000',
  'data.num_test=2000',
  'data.num_steps=1000',
  'augmentation.enabled=False',
  'log_every=50',
)
_DATA_SHARED = ('data.init=shared',)

# What the paper's models may have -> label and modifiers of the config.
_KINDS = {
  '': ('', ''),
  '_no_positions': (', no positional embeddings', '+no_positions'),
  '_probes': (', 64 probes', '+probes_64'),
  '_generated_probes': (', 64 generated probes', '+generated_probes'),
  '_generated_probes_normalised': (
    ', 64 generated probes, normalised readout',
    '+generated_probes+normalised_readout',
  ),
  '_probe_outputs': (
    ', 64 generated probes, outputs read, augmented',
    '+generated_probes+normalised_readout+probe_outputs+mild_augmentation',
  ),
  '_normalised': (', normalised readout', '+normalised_readout'),
  '_normalised_layers': (
    ', normalised readout of all layers',
    '+normalised_readout+layer_means',
  ),
}
# Row -> label and config of a run.
_ROWS = {
  **{
    name + kind: (model + label, file + modifiers)
    for name, model, file in (
      ('ng_gnn', 'NG-GNN', 'gnn.py:{}'),
      ('ng_t', 'NG-T', 'transformer.py:{}'),
    )
    for kind, (label, modifiers) in _KINDS.items()
  },
  'probing': ('probing alone, 64 probes', 'probing.py:{}'),
  'generated_probing': (
    'probing alone, 64 generated probes',
    'probing.py:{}+generated_probes',
  ),
  'probing_augmented': (
    'probing alone, 64 probes, augmented',
    'probing.py:{}+mild_augmentation',
  ),
  'generated_probing_augmented': (
    'probing alone, 64 generated probes, augmented',
    'probing.py:{}+generated_probes+mild_augmentation',
  ),
  'dws': ('DWSNets', 'dws.py:{}'),
  'nfn': ('NFN-NP', 'nfn.py:{}'),
  'nfn_hnp': ('NFN-HNP', 'nfn.py:{}'),
  'statnn': ('StatNN', 'statnn.py:{}'),
  'mlp': ('MLP', 'mlp.py:{}'),
}
# Row -> overrides and estimated minutes of the scaled protocol, on one core of
# an EPYC without AVX-512 whose other core is busy. Most rows without probes
# read networks that share one initialisation.
_TWO_CORES: dict[str, tuple[tuple[str, ...], float]] = {
  'ng_gnn_probes': (_GNN, 22),
  'ng_t_probes': (_NG_T, 19),
  'ng_gnn_generated_probes': (_GNN, 22),
  'ng_t_generated_probes': (_NG_T, 19),
  'ng_gnn_generated_probes_normalised': (_GNN_NORMALISED, 20),
  'ng_gnn_probe_outputs': ((*_GNN_NORMALISED, *_AUGMENTED), 22),
  'ng_t_probe_outputs': ((*_NG_T_NORMALISED, *_AUGMENTED), 19),
  'probing': ((), 1),
  'generated_probing': ((), 1),
  'probing_augmented': (_AUGMENTED, 1),
  'generated_probing_augmented': (_AUGMENTED, 1),
  'ng_gnn_normalised_layers': (_GNN_NORMALISED, 20),
  'ng_t_normalised_layers': (_NG_T_NORMALISED, 18),
  'ng_gnn': ((*_GNN, *_DATA_SHARED), 20),
  'ng_gnn_no_positions': ((*_GNN, *_DATA_SHARED), 20),
  'ng_t': ((*_NG_T, *_DATA_SHARED), 18),
  'ng_t_no_positions': ((*_NG_T, *_DATA_SHARED), 18),
  'ng_gnn_normalised': ((*_GNN_NORMALISED, *_DATA_SHARED), 20),
  'ng_t_normalised': ((*_NG_T_NORMALISED, *_DATA_SHARED), 18),
  'dws': ((*_DWS, *_DATA_SHARED), 27),
  'nfn': ((*_NFN, *_DATA_SHARED), 7),
  'nfn_hnp': ((*_NFN, 'model.variant=hnp', *_DATA_SHARED), 7),
  'statnn': ((*_SHORT, 'num_steps=5000', *_DATA_SHARED), 2),
  'mlp': ((*_SHORT, 'num_steps=5000', *_DATA_SHARED), 1),
}
# Row -> minutes of the full protocol on two cores: 86,000 steps of 128 at 424
# (NG-GNN) or 50 (NG-T) networks a second; the others are guesses from the
# digits.
_PAPER_MINUTES = {
  'ng_gnn': 430,
  'ng_t': 3_700,
  'ng_gnn_no_positions': 430,
  'ng_t_no_positions': 3_700,
  'ng_gnn_probes': 480,
  'ng_t_probes': 3_800,
  'ng_gnn_generated_probes': 480,
  'ng_t_generated_probes': 3_800,
  'probing': 20,
  'generated_probing': 20,
  'dws': 2_000,
  'nfn': 5_000,
  'nfn_hnp': 5_000,
  'statnn': 200,
  'mlp': 60,
}


def make_config(
  source: str, variant: str, *, title: str, paper: Mapping[str, str]
) -> ml_collections.ConfigDict:
  """Makes the config of the table of a source of images.

  Args:
    source: 'mnist' or 'fashion_mnist'.
    variant: 'two_cores', 'paper' or 'smoke'.
    title: what the source is called.
    paper: figures of the paper, by row.

  Returns:
    See `tables.make_config`. Jit: no.

  Raises:
    ValueError: an unknown variant.
  """
  make = variants.choose(
    variant, {'two_cores': _two_cores, 'paper': _paper, 'smoke': _smoke}
  )
  config = make(source, title)
  config.name = f'inr_classification_{source}'
  config.variant = variant
  config.title = f'Classification of INRs of {title}'
  config.paper_column = "the paper's, 55,000 networks of independent inits"
  if variant != 'smoke':
    config.rows = tuple(
      row | {'paper': paper.get(row['name'], '')} for row in config.rows
    )
  return config


def _two_cores(source: str, title: str) -> ml_collections.ConfigDict:
  rows = [
    dataclasses.replace(
      _row(name, source),
      overrides=overrides,
      data=_SHARED if _DATA_SHARED[0] in overrides else _INDEPENDENT,
      minutes=minutes,
    )
    for name, (overrides, minutes) in _TWO_CORES.items()
  ]
  return _assemble(
    rows,
    overrides=_DATA,
    protocol=(
      f'8,000 training networks of {title}, fitted with 1,000 steps each; no '
      'dropout, one cosine, no augmentation but where a row says so (shifts of '
      'a tenth, 10 degrees, scales of 0.9 to 1.1; rate 1e-3). NG-GNN, NFN: 8 '
      'epochs; NG-T: 2 blocks, 2 epochs; MLP, StatNN: 20; probing: 30 as '
      'published. *Normalised readout*: batch norm before it, evaluated with '
      'running averages, and Fourier features of scale 0.3; *of all layers*: '
      'besides, of the means of all layers, not of the output node; *outputs '
      'read*: the readout is that of probing, and also gets the outputs on the '
      'probes. After so few epochs networks of independent initialisations, as '
      'in the paper, can be read without probes by a normalised readout at '
      'most; there, all networks start from one initialisation, which is '
      'easier than what the paper has, so the two kinds of data are ranked '
      'apart.'
    ),
  )


def _paper(source: str, title: str) -> ml_collections.ConfigDict:
  rows = [
    dataclasses.replace(
      _row(name, source),
      overrides=('model.variant=hnp',) if name == 'nfn_hnp' else (),
      minutes=minutes,
    )
    for name, minutes in _PAPER_MINUTES.items()
  ]
  return _assemble(
    rows,
    protocol=(
      f'As published: 55,000 training networks of {title}, independent '
      'initialisations, augmentation, 200 epochs of 430 steps (DWSNets 100 of '
      '108, probing 30 of 1,719).'
    ),
  )


def _smoke(source: str, title: str) -> ml_collections.ConfigDict:
  del source, title  # The digits need no files.
  return _assemble(
    [_row(name, 'smoke') for name in ('mlp', 'statnn', 'probing')],
    num_seeds=1,
    protocol='A few digits and six steps: shows that everything runs.',
  )


def _row(name: str, base: str) -> tables.Row:
  label, config = _ROWS[name]
  return tables.Row(name, label, config.format(base))


def _assemble(
  rows: list[tables.Row],
  *,
  protocol: str,
  num_seeds: int = 3,
  overrides: tuple[str, ...] = (),
) -> ml_collections.ConfigDict:
  return tables.make_config(
    metrics=[_ACCURACY, _VALIDATION, *_ROBUSTNESS],
    modes=['robustness'],
    rows=rows,
    binary='inr_classification',
    protocol=protocol,
    num_seeds=num_seeds,
    overrides=overrides,
  )
