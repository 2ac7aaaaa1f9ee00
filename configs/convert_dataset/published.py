# SPDX-License-Identifier: Apache-2.0
"""Published data sets, converted to ours.

python experiments/convert_dataset.py \
  --config=configs/convert_dataset/published.py:<variant> \
  --config.source_dir=<folder of the published files>

| variant           | what it is                            |
| ----------------- | ------------------------------------- |
| dws_mnist         | MNIST INRs (Navon et al., 2023)       |
| dws_fashion_mnist | Fashion-MNIST INRs (the same)         |
| nfn_mnist         | SIRENs of MNIST (Zhou et al., 2023)   |
| nfn_fashion_mnist | SIRENs of Fashion-MNIST (the same)    |
| nfn_cifar10       | SIRENs of CIFAR-10 (the same)         |
| small_zoo         | CIFAR10-GS (Unterthiner et al., 2020) |
| wild_park         | CNN Wild Park (Kofinas et al., 2024)  |
| paper             | dws_mnist                             |
| smoke             | small_zoo, four networks a shard      |

source_dir holds, as unpacked: mnist-inrs and mnist_splits.json; fmnist_inrs;
randinit_smaller_...; weights.npy, metrics.csv.gz and layout.csv; or
cnn_park_splits.json and cifar10_zooV2.

All but small_zoo are torch files: pip install 'ng_jax[torch]'. INRs get their
images with --config.image_dir, the folder of the publishers' image files;
editing needs them. --config.split_file names the splits where they lie
elsewhere. The command may be interrupted and goes on where it stopped. Its
result is read with --config.data.path=<folder> by the experiments.
"""

import dataclasses

import ml_collections

from ng_jax.data import conversion
from ng_jax.data import published

_VARIANTS = {
  **{name: {'source': name} for name in conversion.KINDS},
  'paper': {'source': 'dws_mnist'},
  # For a handful of files, to try the command.
  'smoke': {'source': 'small_zoo', 'split_points': (6, 8), 'chunk_size': 4},
}


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the settings of a variant, and the folders."""
  if variant not in _VARIANTS:
    raise ValueError(
      f'unknown variant {variant!r}; expected one of {sorted(_VARIANTS)}.'
    )
  settings = published.PublishedSettings(**_VARIANTS[variant])
  fields = dataclasses.asdict(settings)
  del fields['fingerprint']
  folders = ('data_dir', 'image_dir', 'name', 'source_dir', 'split_file')
  return ml_collections.ConfigDict(
    {**fields, **dict.fromkeys(folders, ''), 'data_dir': 'data'}
  )
