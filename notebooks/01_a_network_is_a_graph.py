# %% [markdown]
# # A network is a graph
#
# Neurons are nodes, weights are edges. The hidden neurons of a layer have no
# natural order: store them in another one and the network computes the same,
# though its weight matrices look different. A graph does not care in which
# order its nodes are listed, and neither does a model that reads graphs.
#
# This notebook draws networks, permutes one, checks to the bit that the graph
# stayed the same but for the names of its nodes, and measures which models
# notice. It takes a minute on a CPU.
#
# Kofinas et al., *Graph Neural Networks for Learning Equivariant
# Representations of Neural Networks*, ICLR 2024, sections 2 and 3.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import os

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import plots
from ng_jax import specs
from ng_jax import testing

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # Fewer draws, for the tests.

# %% [markdown]
# ## Draw one
#
# A network is two things: `weights`, a nested dict of arrays, and a
# `NetworkSpec`, which says what the arrays mean.

# %%
network = networks.Mlp((3, 5, 5, 2))
weights = testing.draw_weights(jax.random.key(0), network.spec)
print(jax.tree.map(jnp.shape, weights))

names = {'hidden_1': 'abcde', 'hidden_2': 'vwxyz'}
plots.neural_graph(network.spec, weights, labels=names, title='A network')

# %% [markdown]
# `graphs.encode` makes the graph: biases become node features, weights become
# edge features. Which edges exist follows from the spec alone, so `senders` and
# `receivers` are known before any weight is. `graphs.decode` is the way back,
# to the bit.

# %%
topology = graphs.topology(network.spec)
graph = graphs.encode(topology, weights)
print('biases of the nodes', graph.nodes['bias'].shape)
print('edges of each layer', [x.shape for x in graph.edges['weight'].arrays])

back = graphs.decode(topology, graph)
same = jax.tree.map(np.array_equal, back, weights)
assert all(jax.tree.leaves(same))

# %% [markdown]
# ## Permute it
#
# `specs.draw_permutation` draws an order for every layer that has one to
# choose. Inputs and outputs stay where they are: they mean something.

# %%
permutation = specs.draw_permutation(jax.random.key(2), network.spec)
permuted = specs.permute(network.spec, weights, permutation)
moved = {
  name: [letters[i] for i in permutation[name]]
  for name, letters in names.items()
}
print(moved)
plots.neural_graph(network.spec, permuted, labels=moved, title='Permuted')

# %% [markdown]
# Follow a letter from one drawing to the other: it kept its bias and all of its
# edges. The network computes the same function:

# %%
x = jax.random.normal(jax.random.key(3), (100, 3))
before, after = network.apply(weights, x), network.apply(permuted, x)
print('largest difference of the outputs', abs(before - after).max())
assert np.allclose(before, after, atol=1e-5)


# %% [markdown]
# ## The graph is isomorphic
#
# Written as one big matrix, with an entry for every pair of nodes, the permuted
# graph is the old one with its rows and columns in another order. Nothing was
# rounded, so the two are equal to the bit.


# %%
def adjacency(weights):
  """Matrix of the weights, [num_nodes, num_nodes]."""
  flat = graphs.flatten(graphs.encode(topology, weights))
  matrix = np.zeros((topology.num_nodes, topology.num_nodes), np.float32)
  matrix[flat.senders, flat.receivers] = flat.edges['weight'][:, 0]
  return matrix


order = np.concatenate(
  [
    np.asarray(permutation[name]) + first
    for name, (first, _) in topology.node_ranges.items()
  ]
)
print(order)
assert np.array_equal(adjacency(permuted), adjacency(weights)[order][:, order])

# %% [markdown]
# ## A model that reads graphs does not notice
#
# Three models with random parameters answer for the network and for permuted
# versions of it. NG-GNN and NG-T differ by rounding; a plain MLP on the flat
# weights sees another network every time.


# %%
def noticed(name, num_draws, **options):
  """Relative change of a model's answer, one number for each permutation."""
  model = models.create(name, spec=network.spec, num_outputs=4, **options)
  batch = jax.tree.map(lambda leaf: leaf[None], weights)
  variables = jax.jit(model.init)(
    {'params': jax.random.key(4)}, graphs.encode(topology, batch)
  )

  @jax.jit
  def answer(weights):
    batch = jax.tree.map(lambda leaf: leaf[None], weights)
    return model.apply(variables, graphs.encode(topology, batch))

  expected = answer(weights)
  changes = []
  for i in range(num_draws):
    drawn = specs.draw_permutation(jax.random.key(i), network.spec)
    found = answer(specs.permute(network.spec, weights, drawn))
    changes.append(abs(found - expected).max() / abs(expected).max())
  return np.array(changes)


num_draws = 3 if SMOKE else 30
changes = {
  'NG-GNN': noticed('ng_gnn', num_draws),
  'NG-T': noticed('ng_t', num_draws),
  'MLP on flat weights': noticed('mlp', num_draws),
}
assert changes['NG-GNN'].max() < 1e-4 and changes['NG-T'].max() < 1e-4
assert changes['MLP on flat weights'].max() > 1e-2
plots.equivariance_errors(changes, title='Who notices a permutation?')

# %% [markdown]
# ## Any network
#
# `networks.from_module` reads the spec of your own Flax module off its code.
# A residual connection ties neurons of two layers: they may only be permuted
# together, and the drawing shows the tie as an arc. A convolution has one edge
# for each pair of channels, with the whole kernel on it.


# %%
class Residual(nn.Module):
  """A convolution, a residual block with a norm, and a dense output."""

  @nn.compact
  def __call__(self, x):
    x = nn.relu(nn.Conv(6, (3, 3))(x))
    x = x + nn.Conv(6, (3, 3))(nn.relu(nn.GroupNorm(3)(x)))
    return nn.Dense(3)(x.mean((1, 2)))


module, images = Residual(), jnp.ones((2, 8, 8, 1))
variables = module.init(jax.random.key(5), images)
cnn = networks.from_module(module, variables, images)
plots.neural_graph(
  cnn.spec, cnn.weights_of(variables), title='A residual CNN', per_layer=True
)

# %% [markdown]
# Next: `02_classify_inrs.ipynb` learns to read such graphs.
