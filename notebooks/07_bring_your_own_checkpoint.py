# %% [markdown]
# # Bring your own PyTorch checkpoint
#
# PyTorch stores the weight of a linear layer as `[out, in]`, of a convolution
# as `[out, in, height, width]`, under names such as `0.weight`. Flax has the
# axes the other way round. Nothing has to be transposed: a spec says which axis
# is which, and everything else follows.
#
# The checkpoints here are written with numpy in PyTorch's layout, as
# `safetensors.torch.save_file(model.state_dict(), path)` would write them, so
# PyTorch is not needed. It takes half a minute on a CPU.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import pathlib
import tempfile

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

import ng_jax
from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import plots
from ng_jax import specs
from ng_jax import testing

folder = pathlib.Path(tempfile.mkdtemp())
generator = np.random.default_rng(0)


def uniform(*shape):
  """As PyTorch initialises linear layers and convolutions."""
  bound = np.prod(shape[1:]) ** -0.5
  return generator.uniform(-bound, bound, shape).astype(np.float32)


# %% [markdown]
# ## A multilayer perceptron
#
# `nn.Sequential(Linear(4, 16), ReLU(), Linear(16, 16), ReLU(), Linear(16, 3))`
# has this state_dict:

# %%
state_dict = {
  '0.weight': uniform(16, 4),
  '0.bias': uniform(1, 16)[0],
  '2.weight': uniform(16, 16),
  '2.bias': uniform(1, 16)[0],
  '4.weight': uniform(3, 16),
  '4.bias': uniform(1, 3)[0],
}
safetensors_numpy.save_file(state_dict, folder / 'mlp.safetensors')

# %% [markdown]
# Reading it takes two lines. A state_dict does not say what happens between the
# layers, so the activation is yours to name.

# %%
weights = safetensors_numpy.load_file(folder / 'mlp.safetensors')
spec = specs.sequential(weights, activation='relu')
for leaf in spec.leaves:
  print(f'{leaf.path:10}{leaf.layout}')
plots.neural_graph(spec, weights, title='A PyTorch MLP')

# %% [markdown]
# Trust is good. `networks.Chain` runs the network from its spec; a few lines of
# numpy say what PyTorch would compute:

# %%
x = generator.normal(size=(5, 4)).astype(np.float32)
hidden = np.maximum(x @ weights['0.weight'].T + weights['0.bias'], 0)
hidden = np.maximum(hidden @ weights['2.weight'].T + weights['2.bias'], 0)
expected = hidden @ weights['4.weight'].T + weights['4.bias']

network = networks.Chain(spec)
np.testing.assert_allclose(network.apply(weights, x), expected, atol=1e-5)
testing.assert_invariant(
  lambda weights: network.apply(weights, x),
  spec,
  weights=weights,
  key=jax.random.key(0),
)
print('the spec is right: hidden permutations do not change the outputs')

# %% [markdown]
# ## Ask a model about it
#
# Any model of `models.create` reads it. This one has fresh parameters, so its
# answer means nothing yet; a trained one comes from `ng_jax.load_pretrained`.

# %%
model = models.create('ng_gnn', spec=spec, num_outputs=1, hidden_size=16)
batch = jax.tree.map(lambda leaf: leaf[None], weights)
variables = jax.jit(model.init)(
  {'params': jax.random.key(1)}, graphs.encode(graphs.topology(spec), batch)
)
print(ng_jax.predict((model, variables), spec, weights))

# %% [markdown]
# ## A convolutional network
#
# Two convolutions, then a linear layer on the flattened map, channel by channel
# as `torch.flatten` lays it. The graph has an edge for each pair of channels;
# the flattened map's positions become the channels of a kernel.
#
# A chain is read in the order of the dict, and safetensors sorts names by the
# alphabet ('classifier' before 'features', '10' before '2'), so the layers are
# named in their order first.

# %%
state_dict = {
  'features.0.weight': uniform(6, 1, 3, 3),
  'features.0.bias': uniform(1, 6)[0],
  'features.2.weight': uniform(8, 6, 3, 3),
  'features.2.bias': uniform(1, 8)[0],
  'classifier.weight': uniform(10, 8 * 4 * 4),
  'classifier.bias': uniform(1, 10)[0],
}
safetensors_numpy.save_file(state_dict, folder / 'cnn.safetensors')
loaded = safetensors_numpy.load_file(folder / 'cnn.safetensors')
weights = {
  f'{layer}.{part}': loaded[f'{layer}.{part}']
  for layer in ('features.0', 'features.2', 'classifier')
  for part in ('weight', 'bias')
}
spec = specs.sequential(weights, activation=('relu', 'relu'))
plots.neural_graph(spec, weights, title='A PyTorch CNN', per_layer=True)

# %% [markdown]
# ## What a state_dict cannot say
#
# A skip connection or a norm is not visible in a dict of arrays. Such networks
# are refused with the reason, never guessed:

# %%
try:
  specs.sequential({**weights, 'norm.running_mean': np.zeros(8, np.float32)})
except ValueError as error:
  print(error)

# %% [markdown]
# For those, port the forward pass to a function `apply(weights, x)` of the same
# dict and let `networks.from_module` read it: it finds residual connections,
# norms and attention in the computation itself.


# %%
def apply(weights, x):
  """A residual MLP on a flat PyTorch dict."""
  hidden = x @ weights['stem.weight'].T + weights['stem.bias']
  inner = jax.nn.relu(
    hidden @ weights['block.weight'].T + weights['block.bias']
  )
  return (hidden + inner) @ weights['head.weight'].T + weights['head.bias']


weights = {
  'stem.weight': uniform(8, 4),
  'stem.bias': uniform(1, 8)[0],
  'block.weight': uniform(8, 8),
  'block.bias': uniform(1, 8)[0],
  'head.weight': uniform(3, 8),
  'head.bias': uniform(1, 3)[0],
}
network = networks.from_module(apply, weights, np.ones((2, 4), np.float32))
plots.neural_graph(
  network.spec, network.weights_of(weights), title='A residual MLP'
)

# %% [markdown]
# Checkpoints of the *models* of the official PyTorch code (those that read
# networks) are converted by `experiments/convert_official.py`.
