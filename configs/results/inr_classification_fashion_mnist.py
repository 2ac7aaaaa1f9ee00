# SPDX-License-Identifier: Apache-2.0
"""Table: which piece of clothing does a network draw?

python experiments/results.py --minutes=60 --workdir=runs/results \
  --config=configs/results/inr_classification_fashion_mnist.py:two_cores \
  --image_dir=FOLDER

two_cores: 8,000 training networks, 15 rows, three seeds: 1 to 27 minutes a run
  on a CPU core, and once about 40 minutes for either kind of networks.
paper: everything as published; days a row on two cores.
smoke: a few digits, three rows. A minute or two.
"""

import ml_collections

from ng_jax.results import inr_tables

_PAPER = {
  'ng_gnn': '68.0 ± 0.2',
  'ng_t': '72.7 ± 0.6',
  'generated_probing': 'about 87.7 (its authors)',
  'dws': '67.1 ± 0.3',
  'nfn': '68.2 ± 0.3',
}


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the table of a variant, such as 'two_cores' or 'smoke'."""
  return inr_tables.make_config(
    'fashion_mnist', variant, title='Fashion-MNIST', paper=_PAPER
  )
