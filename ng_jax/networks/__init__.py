# SPDX-License-Identifier: Apache-2.0
"""Networks that are read: each family gives `spec`, `init` and `apply`.

The mnemonic of the whole package: *networks are read, models read them*.
"""

from ng_jax.networks.chains import Chain
from ng_jax.networks.cnn import Cnn
from ng_jax.networks.inferred import from_module
from ng_jax.networks.inferred import InferredNetwork
from ng_jax.networks.mlp import ACTIVATION_FUNCTIONS
from ng_jax.networks.mlp import Mlp
from ng_jax.networks.siren import Siren
from ng_jax.networks.wild_park import draw_cnn

__all__ = (
  'ACTIVATION_FUNCTIONS',
  'Chain',
  'Cnn',
  'InferredNetwork',
  'Mlp',
  'Siren',
  'draw_cnn',
  'from_module',
)
