# SPDX-License-Identifier: Apache-2.0
"""Neural networks as graphs: models that read the weights of networks.

Networks are read, models read them. A network is `weights`, a nested mapping of
arrays, and a `specs.NetworkSpec` that says what the arrays mean; a model eats
its neural graph:

    weights -> graphs.encode -> models.create(...).apply -> prediction

Importing the package starts no device and reads no flag.
"""

from ng_jax import graphs
from ng_jax import layers
from ng_jax import models
from ng_jax import networks
from ng_jax import pretrained
from ng_jax import specs
from ng_jax.pretrained import load_pretrained
from ng_jax.pretrained import predict
from ng_jax.pretrained import save_pretrained

__version__ = '0.1.0'

__all__ = (
  'graphs',
  'layers',
  'load_pretrained',
  'models',
  'networks',
  'predict',
  'pretrained',
  'save_pretrained',
  'specs',
)
