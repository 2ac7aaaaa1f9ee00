# %% [markdown]
# # Train your model with a learned optimizer
#
# `ng_jax.optimizers.load` gives a trained optimizer to optax: two lines change
# in a training loop. This one reads the graph of your network at every step, so
# it needs the network's spec, which is read off your module.
#
# The images are scikit-learn's 8x8 digits. It takes a few minutes on a CPU and
# runs unchanged on a GPU or TPU.
#
# Paper: section 4.3.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import functools
import os

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ng_jax import optimizers
from ng_jax import plots
from ng_jax import specs
from ng_jax.data import images as images_lib

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # A few steps, for the tests.
print(jax.devices())
print('trained optimizers:', *optimizers.trained_names())

# %% [markdown]
# ## Your model and your loop

# %%
digits = images_lib.read('digits')
train_x, test_x = (
  jnp.asarray(digits[split].pixels / 16, jnp.float32)
  for split in ('train', 'test')
)
train_y, test_y = (
  jnp.asarray(digits[split].labels) for split in ('train', 'test')
)


class Cnn(nn.Module):
  """Yours."""

  @nn.compact
  def __call__(self, x):
    x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
    x = nn.relu(nn.Conv(16, (3, 3), strides=2)(x))
    return nn.Dense(10)(x.mean((1, 2)))


model = Cnn()
num_steps, test_every = (4, 2) if SMOKE else (400, 40)
batch_size = 64


def loss_fn(params, x, y):
  logits = model.apply({'params': params}, x)
  return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@functools.partial(jax.jit, static_argnums=0)
def train(tx, seed):
  """Accuracies on the test images, [num_steps / test_every]."""
  key = jax.random.key(seed)
  params = model.init(key, train_x[:1])['params']

  def step(carry, step_key):
    params, state = carry
    rows = jax.random.randint(step_key, (batch_size,), 0, train_y.size)
    value, gradients = jax.value_and_grad(loss_fn)(
      params, train_x[rows], train_y[rows]
    )
    # A learned optimizer reads the loss; others ignore what they do not know.
    updates, state = tx.update(gradients, state, params, value=value)
    return (optax.apply_updates(params, updates), state), None

  def segment(carry, keys):
    carry, _ = jax.lax.scan(step, carry, keys)
    logits = model.apply({'params': carry[0]}, test_x)
    return carry, (logits.argmax(-1) == test_y).mean()

  keys = jax.random.split(key, num_steps).reshape(-1, test_every)
  _, accuracies = jax.lax.scan(segment, (params, tx.init(params)), keys)
  return accuracies


# %% [markdown]
# ## Two lines
#
# The spec is inferred from the module; then the optimizer is loaded by name.

# %%
variables = model.init(jax.random.key(0), train_x[:2])
spec = specs.infer(model, variables, train_x[:2])
learned = optimizers.load('ng_gnn_fashion_mnist', spec=spec)

# %%
trained = optimizers.read('ng_gnn_fashion_mnist', spec)
size = sum(leaf.size for leaf in jax.tree.leaves(trained.theta))
print(f'{size:,} parameters of its own')
print('trained on', *trained.details['config']['tasks'])

# %% [markdown]
# ## Side by side
#
# Adam as most people begin with it, and with a rate ten times larger. Bars are
# one standard deviation over seeds.

# %%
seeds = (0, 1) if SMOKE else (0, 1, 2)
optimizers_to_try = {
  'learned, NG-GNN': learned,
  'Adam at 1e-3': optax.with_extra_args_support(optax.adam(1e-3)),
  'Adam at 1e-2': optax.with_extra_args_support(optax.adam(1e-2)),
}
steps = range(test_every, num_steps + 1, test_every)
curves = {}
for name, tx in optimizers_to_try.items():
  found = np.stack([np.asarray(train(tx, seed)) for seed in seeds])
  print(f'{name}: {found[:, -1].mean():.1%}')
  curves[name] = [
    [
      {'step': step, 'test_accuracy': float(accuracy)}
      for step, accuracy in zip(steps, row, strict=True)
    ]
    for row in found
  ]
plots.seed_curves(curves, 'test_accuracy', title='Your CNN on digits')

# %% [markdown]
# It was trained on other images and other networks than yours. Where your
# network is far from those, a tuned Adam may well be better: compare, as above.
# `06_meta_train_an_optimizer.ipynb` trains one on your own task.
