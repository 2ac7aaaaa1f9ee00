# %% [markdown]
# # Predict the accuracy of your own CNNs
#
# How accurate a network is shows in its weights. Here a few hundred snapshots
# of your own Flax CNN are taken while it trains, with good and bad learning
# rates, and NG-GNN learns to tell the test accuracy from the weights alone. It
# is tested on training runs that it has not seen.
#
# The images are scikit-learn's 8x8 digits. It takes a few minutes on a CPU and
# runs unchanged on a GPU or TPU.
#
# Paper: section 4.2. The full experiment, with CNNs of many architectures:
# `experiments/cnn_generalization.py`.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import os

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import plots
from ng_jax.data import images as images_lib
from ng_jax.weights import statistics

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # Few networks, for the tests.
print(jax.devices())

# %% [markdown]
# ## Your CNN
#
# Any Flax module that `networks.from_module` can read. It needs no spec from
# you: the module is traced once, and what was found is checked by permuting it.


# %%
class Cnn(nn.Module):
  """Yours."""

  @nn.compact
  def __call__(self, x):
    x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
    x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
    return nn.Dense(10)(x.mean((1, 2)))


digits = images_lib.read('digits')
train_x, test_x = (
  jnp.asarray(digits[split].pixels / 16, jnp.float32)
  for split in ('train', 'test')
)
train_y, test_y = (
  jnp.asarray(digits[split].labels) for split in ('train', 'test')
)
cnn = Cnn()
example = cnn.init(jax.random.key(0), train_x[:2])
network = networks.from_module(cnn, example, train_x[:2])
plots.neural_graph(
  network.spec, network.weights_of(example), title='Your CNN', per_layer=True
)

# %% [markdown]
# ## A zoo of them
#
# All runs train side by side under `vmap`: other initial weights, another
# learning rate, other batches each. After each of the epochs their weights and
# their accuracy on the test images are kept.

# %%
num_runs, num_epochs = (8, 2) if SMOKE else (120, 8)
batch_size = 32
rates = 10 ** jax.random.uniform(
  jax.random.key(1), (num_runs,), minval=-3.5, maxval=-1.0
)
run_keys = jax.random.split(jax.random.key(2), num_runs)


def cnn_loss(params, x, y):
  logits = cnn.apply(params, x)
  return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def start(key, rate):
  params = cnn.init(key, train_x[:2])
  return params, optax.adam(rate).init(params)


def train_epoch(carry, key, rate):
  rows = jax.random.permutation(key, train_y.size)
  rows = rows[: train_y.size // batch_size * batch_size]

  def step(carry, chosen):
    params, state = carry
    gradient = jax.grad(cnn_loss)(params, train_x[chosen], train_y[chosen])
    updates, state = optax.adam(rate).update(gradient, state)
    return (optax.apply_updates(params, updates), state), None

  carry, _ = jax.lax.scan(step, carry, rows.reshape(-1, batch_size))
  return carry, (cnn.apply(carry[0], test_x).argmax(-1) == test_y).mean()


carry = jax.jit(jax.vmap(start))(run_keys, rates)
run_epoch = jax.jit(jax.vmap(train_epoch))
snapshots, accuracies = [], []
for epoch in range(num_epochs):
  keys = jax.vmap(jax.random.fold_in, (0, None))(run_keys, epoch)
  carry, accuracy = run_epoch(carry, keys, rates)
  snapshots.append(network.weights_of(carry[0]))
  accuracies.append(accuracy)
print('accuracies in the last epoch:', np.sort(accuracies[-1]).round(2))

# %% [markdown]
# Whole runs go into the training or the test split: snapshots of one run are
# alike. Leaves become `[num_networks, ...]`.

# %%
num_test_runs = num_runs // 4


def gather(runs):
  weights = jax.tree.map(
    lambda *leaves: jnp.concatenate([leaf[runs] for leaf in leaves]),
    *snapshots,
  )
  return weights, jnp.concatenate([found[runs] for found in accuracies])


train_set = gather(slice(num_test_runs, None))
test_set = gather(slice(None, num_test_runs))
print(len(train_set[1]), 'networks to learn from,', len(test_set[1]), 'to test')

# %% [markdown]
# ## The reader

# %%
topology = graphs.topology(network.spec)
model = models.create(
  'ng_gnn',
  spec=network.spec,
  num_outputs=1,
  num_layers=1 if SMOKE else 2,
  hidden_size=8 if SMOKE else 32,
  fourier_size=8 if SMOKE else 64,
  activation_embedding=True,
  dropout=0.0,
  statistics=statistics.from_weights(network.spec, train_set[0]),
)
few = jax.tree.map(lambda leaf: leaf[:2], train_set[0])
variables = jax.jit(model.init)(
  {'params': jax.random.key(3)}, graphs.encode(topology, few)
)
num_steps = 4 if SMOKE else 1_000
optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, num_steps))


def logits_of(params, weights):
  graph = graphs.encode(topology, weights)
  return model.apply({**variables, 'params': params}, graph)[:, 0]


@jax.jit
def train_step(params, state, step, weights, accuracy):
  key = jax.random.fold_in(jax.random.key(4), step)
  chosen = jax.random.randint(key, (16,), 0, accuracy.size)

  def loss_fn(params):
    batch = jax.tree.map(lambda leaf: leaf[chosen], weights)
    return optax.sigmoid_binary_cross_entropy(
      logits_of(params, batch), accuracy[chosen]
    ).mean()

  loss, gradient = jax.value_and_grad(loss_fn)(params)
  updates, state = optimizer.update(gradient, state, params)
  return optax.apply_updates(params, updates), state, loss


params = variables['params']
state = optimizer.init(params)
for step in range(num_steps):
  params, state, loss = train_step(params, state, step, *train_set)
  if step % max(num_steps // 5, 1) == 0:
    print(f'step {step}: loss {loss:.3f}')

# %%
predicted = np.asarray(jax.nn.sigmoid(jax.jit(logits_of)(params, test_set[0])))
true = np.asarray(test_set[1])
tau = stats.kendalltau(true, predicted).statistic
print(f"Kendall's tau {tau:.3f}")
plots.scatter(
  true, predicted, title=f"networks of unseen runs, Kendall's tau {tau:.3f}"
)

# %% [markdown]
# ## Ask about one
#
# Train another one, as you would anyway, and ask what it is worth without
# running it on a single test image:

# %%
carry = start(jax.random.key(99), 3e-3)
carry, accuracy = jax.jit(train_epoch)(carry, jax.random.key(100), 3e-3)
weights = jax.tree.map(lambda leaf: leaf[None], network.weights_of(carry[0]))
guess = jax.nn.sigmoid(logits_of(params, weights))[0]
print(f'predicted {guess:.2f}, measured {accuracy:.2f}')
