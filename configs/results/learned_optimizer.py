# SPDX-License-Identifier: Apache-2.0
"""Table: optimizers that were learned, on networks trained from scratch.

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/learned_optimizer.py:two_cores --image_dir=FOLDER

two_cores: images of 14x14, 300 outer steps; and the mixture of tasks that the
  optimizers that ship are trained on. 11 rows, three seeds (of the training of
  the optimizer): 15 to 60 minutes a run on two CPU cores.
paper: the authors' protocol, on Fashion-MNIST and CIFAR-10; days.
smoke: a few digits, two rows. A minute or two.
"""

import ml_collections

from ng_jax.results import tables
from ng_jax.results import variants

_FASHION = tables.Metric(
  'test_accuracy_fashion_mnist_cnn',
  'test accuracy, %',
  scale=100,
  digits=2,
  chance=0.1,
  spread='test_std_fashion_mnist_cnn',
)
_CIFAR = tables.Metric(
  'test_accuracy_cifar10_cnn',
  'CIFAR-10, %',
  scale=100,
  digits=2,
  chance=0.1,
  spread='test_std_cifar10_cnn',
)
_SECONDS = tables.Metric(
  'seconds_per_step',
  'a step, ms',
  scale=1000,
  digits=0,
  higher_is_better=False,
)
_LABELS = {
  'adam': 'Adam, tuned',
  'ff': 'FF',
  'lstm': 'LSTM',
  'nfn': 'NFN',
  'ng_gnn': 'NG-GNN',
  'ng_t': 'NG-T',
}
_PAPER = {
  'adam': ('80.97 ± 0.66', '54.76 ± 2.82'),
  'ff': ('85.08 ± 0.14', '57.55 ± 1.06'),
  'lstm': ('85.69 ± 0.23', '59.10 ± 0.66'),
  'nfn': ('83.78 ± 0.58', '57.95 ± 0.64'),
  'ng_gnn': ('85.91 ± 0.37', '64.37 ± 0.34'),
  'ng_t': ('86.52 ± 0.19', '60.79 ± 0.51'),
}
_ONE_TASK, _MIXTURE = 'one task', 'mixture'
# Optimizer -> minutes of one task and of the mixture.
_MINUTES = {
  'adam': (70, None),
  'ff': (20, 18),
  'lstm': (19, 12),
  'nfn': (60, 50),
  'ng_gnn': (60, 40),
  'ng_t': (60, 23),
}
_ONE_TASK_OVERRIDES = {
  'ff': ('outer.learning_rate=3e-4',),
}
_MIXTURE_OVERRIDES = {
  'ng_t': ('num_steps=500',),
}


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the table of a variant, such as 'two_cores' or 'smoke'."""
  make = variants.choose(
    variant, {'two_cores': _two_cores, 'paper': _paper, 'smoke': _smoke}
  )
  return make()


def _two_cores() -> ml_collections.ConfigDict:
  rows = [
    tables.Row(
      name=name,
      label=_LABELS[name],
      config=f'{name}.py:two_cores',
      overrides=_ONE_TASK_OVERRIDES.get(name, ()),
      data=_ONE_TASK,
      paper=_PAPER[name][0],
      minutes=minutes,
    )
    for name, (minutes, _) in _MINUTES.items()
  ] + [
    tables.Row(
      name=f'{name}_mixture',
      label=_LABELS[name],
      config=f'{name}.py:mixture',
      overrides=_MIXTURE_OVERRIDES.get(name, ()),
      data=_MIXTURE,
      paper=_PAPER[name][0],
      minutes=minutes,
    )
    for name, (_, minutes) in _MINUTES.items()
    if minutes is not None
  ]
  return _assemble(
    rows,
    variant='two_cores',
    metrics=[_FASHION, _SECONDS],
    protocol=(
      "Fashion-MNIST's CNN (14,378 parameters), trained from scratch for 1,000 "
      'steps of 128 with five seeds; 55,000 training images, the other 5,000 '
      "choose checkpoints and Adam's setting. One task: meta-trained on images "
      'averaged to 14x14, batches of 64, greedy, 300 outer steps of 50 inner '
      "ones (the authors' 1,000 of 100 at 28x28). Mixture: five networks in "
      'turn, episodes of 300 to 600 steps, an outer step each 20, 1,000 outer '
      'steps (NG-T 500); so the optimizers that ship are trained.'
    ),
    paper_column="the paper's",
  )


def _paper() -> ml_collections.ConfigDict:
  rows = [
    tables.Row(
      name=name,
      label=_LABELS[name],
      config=f'{name}.py:paper',
      paper=f'{_PAPER[name][0]} and {_PAPER[name][1]}',
      minutes=minutes,
    )
    for name, minutes in (
      ('adam', 300),
      ('ff', 300),
      ('lstm', 300),
      ('nfn', 1_500),
      ('ng_gnn', 2_500),
      ('ng_t', 1_500),
    )
  ]
  return _assemble(
    rows,
    variant='paper',
    metrics=[_FASHION, _CIFAR, _SECONDS],
    protocol=(
      'As published: 1,000 outer steps of 100 inner ones on Fashion-MNIST; '
      '1,000 steps of 128 from five seeds, on Fashion-MNIST and CIFAR-10.'
    ),
    paper_column="the paper's, Fashion-MNIST and CIFAR-10",
  )


def _smoke() -> ml_collections.ConfigDict:
  metric = tables.Metric('test_accuracy', 'test accuracy, %', scale=100)
  return _assemble(
    [
      tables.Row(name, _LABELS[name], f'{name}.py:smoke')
      for name in ('adam', 'ff')
    ],
    variant='smoke',
    metrics=[metric],
    num_seeds=1,
    protocol='A few digits and four steps: shows that everything runs.',
    paper_column="the paper's",
  )


def _assemble(
  rows: list[tables.Row],
  *,
  metrics: list[tables.Metric],
  variant: str,
  protocol: str,
  paper_column: str,
  num_seeds: int = 3,
) -> ml_collections.ConfigDict:
  return tables.make_config(
    metrics=metrics,
    rows=rows,
    num_seeds=num_seeds,
    paper_column=paper_column,
    name='learned_optimizer',
    variant=variant,
    title='Learning to optimize, Fashion-MNIST',
    binary='learned_optimizer',
    protocol=protocol,
  )
