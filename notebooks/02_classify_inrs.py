# %% [markdown]
# # Classify networks by what they draw
#
# An implicit neural representation (INR) is a small network that has learned a
# single image: it maps a position to a brightness. Here NG-GNN is trained to
# say which digit such a network draws, when all that it sees are the network's
# weights. It never sees a picture.
#
# The images are scikit-learn's 8x8 digits, so nothing is downloaded. It takes
# a few minutes on a CPU and runs unchanged on a GPU or TPU.
#
# Paper: section 4.1. The full experiment: `experiments/inr_classification.py`.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import os
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ng_jax
from ng_jax import graphs
from ng_jax import models
from ng_jax import plots
from ng_jax import specs
from ng_jax.data import inr
from ng_jax.weights import statistics

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # Few networks, for the tests.
DATA_DIR = os.environ.get('NG_JAX_DATA', 'data')
print(jax.devices())

# %% [markdown]
# ## Networks to read
#
# Several SIRENs (networks with sines) are fitted to each image, each from its
# own random start, so that two networks of one image have nothing in common but
# what they draw. Run again, this cell finds what it made the first time.

# %%
settings = inr.InrSettings(
  source='digits',
  num_train=40 if SMOKE else 1_288,
  num_validation=8 if SMOKE else 150,
  num_test=16 if SMOKE else 359,
  num_views=1 if SMOKE else 5,
  hidden_sizes=(8, 8) if SMOKE else (16, 16),
  num_steps=20 if SMOKE else 500,
)
dataset = inr.make_or_load(settings, DATA_DIR)
network, train = dataset.network, dataset.split('train')
print(f'{len(train):,} networks, median PSNR {np.median(train.psnr):.1f} dB')

rows = [int(np.argmax(train.labels == digit)) for digit in range(10)]
first = jax.tree.map(lambda leaf: leaf[rows], train.weights)
plots.renderings(
  train.images[rows] / dataset.max_value,
  np.asarray(network.render_pixels(first, (8, 8))),
  titles=[f'{psnr:.0f} dB' for psnr in train.psnr[rows]],
  title='Images, and what the networks draw',
)

# %%
one = jax.tree.map(lambda leaf: leaf[rows[3]], train.weights)
plots.neural_graph(
  network.spec, one, title='This network draws a 3', per_layer=True
)

# %% [markdown]
# ## A model that reads them
#
# `statistics` scale the weights of each layer to unit variance. Probes are 64
# learned inputs that the networks are run on; every neuron's answers become
# features of its node (paper, section 3).

# %%
model = models.create(
  'ng_gnn',
  spec=network.spec,
  num_outputs=10,
  num_layers=2,
  network=network,
  num_probes=4 if SMOKE else 64,
  fourier_size=16 if SMOKE else 128,
  dropout=0.0,
  statistics=statistics.from_weights(network.spec, train.weights),
)
topology = graphs.topology(network.spec)


def apply(variables, weights):
  return model.apply(variables, graphs.encode(topology, weights))


batch = jax.tree.map(lambda leaf: leaf[:2], train.weights)
variables = jax.jit(model.init)(
  {'params': jax.random.key(0)}, graphs.encode(topology, batch)
)
params = variables['params']
print(f'{sum(p.size for p in jax.tree.leaves(params)):,} parameters')

# %% [markdown]
# ## Training
#
# Nothing but optax. The data lie on the device, one compiled program draws a
# batch and makes a step.

# %%
num_steps = 10 if SMOKE else 2_000
batch_size = 8 if SMOKE else 32
schedule = optax.warmup_cosine_decay_schedule(
  0.0, 2e-3, num_steps // 10, num_steps
)
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))


def loss_fn(params, weights, labels):
  logits = apply({**variables, 'params': params}, weights)
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean(), (logits.argmax(-1) == labels).mean()


@jax.jit
def train_step(params, state, step, weights, labels):
  key = jax.random.fold_in(jax.random.key(1), step)
  chosen = jax.random.randint(key, (batch_size,), 0, labels.size)
  batch = jax.tree.map(lambda leaf: leaf[chosen], weights)
  (loss, accuracy), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
    params, batch, labels[chosen]
  )
  updates, state = optimizer.update(gradient, state, params)
  return optax.apply_updates(params, updates), state, loss, accuracy


@jax.jit
def predict(params, weights):
  # In chunks, which stay in the cache of a CPU.
  return jax.lax.map(
    lambda one: apply(
      {**variables, 'params': params}, jax.tree.map(lambda x: x[None], one)
    )[0],
    weights,
    batch_size=8,
  ).argmax(-1)


weights = jax.tree.map(jnp.asarray, train.weights)
labels = jnp.asarray(train.labels)
validation, test = dataset.split('validation'), dataset.split('test')
state, lines, window = optimizer.init(params), [], []
for step in range(1, num_steps + 1):
  params, state, *measured = train_step(params, state, step, weights, labels)
  window.append(measured)
  if step % (num_steps // 10) == 0:
    loss, accuracy = np.mean(window, axis=0)
    window = []
    correct = predict(params, validation.weights) == validation.labels
    lines.append(
      {
        'step': step,
        'train_loss': float(loss),
        'train_accuracy': float(accuracy),
        'validation_accuracy': float(correct.mean()),
      }
    )
    print(lines[-1])

# %%
predictions = np.asarray(predict(params, test.weights))
lines.append(
  {
    'step': num_steps,
    'test_accuracy': float((predictions == test.labels).mean()),
  }
)
plots.learning_curves(lines, title='NG-GNN reads networks that draw digits')

# %%
counts = np.zeros((10, 10), int)
np.add.at(counts, (test.labels, predictions), 1)
plots.confusion_matrix(
  counts, class_names=dataset.class_names, title='Networks of the test split'
)

# %% [markdown]
# ## The order of neurons does not matter
#
# Permute every test network in its own way: the predictions stay.

# %%
keys = jax.random.split(jax.random.key(2), len(test))
permuted = jax.jit(
  jax.vmap(
    lambda key, weights: specs.permute(
      network.spec, weights, specs.draw_permutation(key, network.spec)
    )
  )
)(keys, jax.tree.map(jnp.asarray, test.weights))
same = np.mean(np.asarray(predict(params, permuted)) == predictions)
print(f'{same:.1%} of the predictions are the same')
assert same > 0.99 or SMOKE

# %% [markdown]
# ## Keep it
#
# A folder with JSON and safetensors, no pickle.

# %%
trained = {**variables, 'params': params}
folder = pathlib.Path(tempfile.mkdtemp()) / 'digit_reader'
ng_jax.save_pretrained(folder, model, trained, spec=network.spec)
reader = ng_jax.load_pretrained(folder)
answer = ng_jax.predict(reader, network.spec, one).argmax()
print(f'The network drawn above shows a {answer}.')
