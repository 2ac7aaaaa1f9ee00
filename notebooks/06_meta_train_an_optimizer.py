# %% [markdown]
# # Meta-train an optimizer
#
# A learned optimizer is a small network that turns gradients into updates. Its
# own parameters, *theta*, are trained so that other networks train well. That
# needs the gradient of a whole training run, which is long and chaotic;
# persistent evolution strategies (PES) estimate it without bias from short
# windows of runs whose theta is moved to both sides.
#
# Here FF, one MLP that is applied to every parameter, learns to train a
# perceptron on scikit-learn's 8x8 digits. It takes some minutes on a CPU and
# runs unchanged on a GPU or TPU.
#
# Paper: section 4.3. The full experiment: `experiments/learned_optimizer.py`.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import os
import pathlib
import tempfile

import jax
import numpy as np
import optax

from ng_jax import meta
from ng_jax import optimizers
from ng_jax import plots
from ng_jax.meta import estimators
from ng_jax.meta import horizons
from ng_jax.meta import optimizees
from ng_jax.meta import outer
from ng_jax.meta import training

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # A few steps, for the tests.
print(jax.devices())

# %% [markdown]
# ## A task
#
# A network, images, the size of a batch. Any object with `init`, `apply` and
# `spec` will do for the network; `optimizees.LinenNetwork` wraps a Flax module.

# %%
task = meta.Task(
  name='digits_perceptron',
  network=optimizees.Mlp((64, 20, 10)),
  batch_size=64,
  source='digits',
)
splits = meta.read_pixels(task)
print(len(splits.train.labels), 'images to train on')

# %% [markdown]
# ## Before
#
# A fresh theta does next to nothing. `meta.evaluate` trains the task from
# several seeds in one compiled program. Adam is tried with three rates and the
# best on the hold-out is kept.

# %%
settings = {
  'seeds': (101, 102) if SMOKE else (101, 102, 103, 104, 105),
  'num_steps': 4 if SMOKE else 200,
  'test_every': 2 if SMOKE else 20,
}
held = {'hold_out': splits.hold_out, 'test': splits.test}
optimizer = optimizers.create('ff', hidden_sizes=(32, 32))
theta = optimizer.init(jax.random.key(0))
before = meta.evaluate(
  task, optimizer.transformation, theta, splits.train, held=held, **settings
)
adams = {
  rate: meta.evaluate(
    task, optax.adam, rate, splits.train, held=held, **settings
  )
  for rate in (3e-3, 1e-2, 3e-2)
}
rate = max(adams, key=lambda rate: adams[rate].final('hold_out')[0])
print(f'Adam at {rate}: {adams[rate].final()[0]:.1%}')
print(f'FF with fresh theta: {before.final()[0]:.1%}')

# %% [markdown]
# ## Meta-training
#
# An estimator is one compiled step: it advances every particle by a window,
# returns the gradient of theta, and an outer update follows it. Episodes start
# at different phases, so that all parts of a training run are always seen.

# %%
problem = meta.LearningProblem(task, optimizer)
estimator = estimators.create(
  'pes',
  problem,
  num_particles=2 if SMOKE else 8,
  window=2 if SMOKE else 10,
  horizon=horizons.constant(4 if SMOKE else 100),
)
num_outer_steps = 3 if SMOKE else 600
update = outer.evolution(num_outer_steps, learning_rate=3e-3)
data = splits.train
shared, (state,) = training.create_state(
  [estimator], theta, update.transformation, jax.random.key(1), [data]
)
outer_step = training.make_step(
  estimator, update.transformation, jax.devices()[:1]
)
losses = []
for step in range(num_outer_steps):
  shared, state, metrics = outer_step(shared, state, data)
  losses.append(float(metrics['loss']))
  if (step + 1) % max(num_outer_steps // 10, 1) == 0:
    recent = np.mean(losses[-max(num_outer_steps // 10, 1) :])
    print(f'outer step {step + 1}: mean loss of the inner steps {recent:.3f}')

# %% [markdown]
# ## After
#
# Bars are one standard deviation over seeds.

# %%
after = meta.evaluate(
  task,
  optimizer.transformation,
  shared.theta,
  splits.train,
  held=held,
  **settings,
)


def runs(found):
  """Lines as in metrics.jsonl, one list for each seed."""
  return [
    [
      {'step': int(step), 'test_accuracy': float(accuracy)}
      for step, accuracy in zip(found.steps, row, strict=True)
    ]
    for row in found.accuracy['test']
  ]


print(f'FF, meta-trained: {after.final()[0]:.1%}')
plots.seed_curves(
  {
    f'Adam, rate {rate:g}': runs(adams[rate]),
    'FF, meta-trained': runs(after),
    'FF, fresh': runs(before),
  },
  'test_accuracy',
  title='A perceptron on digits',
)

# %% [markdown]
# ## Keep it
#
# One safetensors file with theta and the options. `optimizers.load` gives it
# to optax, for any network.

# %%
path = pathlib.Path(tempfile.mkdtemp()) / 'my_optimizer.safetensors'
optimizers.save(path, optimizer, shared.theta, {'task': task.name})
tx = optimizers.load(path)

params = {'w': jax.numpy.ones((3, 2))}
updates, _ = tx.update(params, tx.init(params), params, value=1.0)
print(updates['w'].shape)
