# SPDX-License-Identifier: Apache-2.0
"""Published sets of INRs: trees of torch files, one for each network.

settings = published.PublishedSettings(source='dws_mnist')
dataset = inr_files.read(settings, folder, image_dir=...)   # InrDataset
"""

from ng_jax.data.inr_files.datasets import plan
from ng_jax.data.inr_files.datasets import read
from ng_jax.data.inr_files.kinds import KINDS

__all__ = ('KINDS', 'plan', 'read')
