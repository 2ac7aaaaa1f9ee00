# SPDX-License-Identifier: Apache-2.0
"""Table: which digit does a network draw?

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/inr_classification_mnist.py:two_cores \
  --image_dir=FOLDER

two_cores: 8,000 training networks, 15 rows, three seeds: 1 to 27 minutes a run
  on a CPU core, and once about 40 minutes for either kind of networks.
paper: everything as published; days a row on two cores.
smoke: a few digits, three rows. A minute or two.
"""

import ml_collections

from ng_jax.results import inr_tables

_PAPER = {
  'ng_gnn': '91.4 ± 0.6',
  'ng_t': '92.4 ± 0.3',
  'ng_gnn_no_positions': '83.9 ± 0.3',
  'ng_t_no_positions': '77.9 ± 0.7',
  'ng_gnn_probes': 'about 97 to 98',
  'ng_t_probes': 'about 97 to 98',
  'generated_probing': 'about 98.4 (its authors)',
  'dws': '85.7 ± 0.6',
  'nfn': '78.5 ± 0.2',
  'nfn_hnp': '79.1 ± 0.8',
  'mlp': '17.6 ± 0.0',
}


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the table of a variant, such as 'two_cores' or 'smoke'."""
  return inr_tables.make_config('mnist', variant, title='MNIST', paper=_PAPER)
