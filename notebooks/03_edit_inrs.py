# %% [markdown]
# # Edit networks
#
# The model of this notebook writes weights: it reads a network that draws a
# digit and returns an update, after which the network draws the digit with
# thicker strokes (a morphological dilation). The pictures are only looked at by
# the loss; the model sees weights and answers with weights.
#
# The images are scikit-learn's 8x8 digits. It takes a few minutes on a CPU and
# runs unchanged on a GPU or TPU.
#
# Paper: section 4.1. The full experiment: `experiments/inr_editing.py`.

# %%
# SPDX-License-Identifier: Apache-2.0
# %matplotlib inline
import json
import os
import pathlib
import tempfile

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from ng_jax import graphs
from ng_jax import models
from ng_jax import plots
from ng_jax import specs
from ng_jax import testing
from ng_jax.data import image_edits
from ng_jax.train import editing
from ng_jax.train import editing_variants
from ng_jax.train import inr_sources

SMOKE = bool(os.environ.get('NG_JAX_SMOKE'))  # Few networks, for the tests.
DATA_DIR = os.environ.get('NG_JAX_DATA', 'data')
print(jax.devices())

# %% [markdown]
# ## The experiment
#
# The binaries of `experiments/` are thin: what they do can be called. A config
# holds everything that a run depends on.

# %%
variant = 'smoke' if SMOKE else 'digits'
config = editing_variants.make_config('ng_gnn_edit', variant)
config.data.data_dir = DATA_DIR
config.num_steps = 4 if SMOKE else 400
config.eval_every = 2 if SMOKE else 100
print(config.model)

# %%
workdir = pathlib.Path(tempfile.mkdtemp())
metrics = editing.run(config, workdir, source='notebook')
print(f'squared error x 100 on test networks: {100 * metrics["test_mse"]:.2f}')
print(f'without an edit: {100 * metrics["no_edit_mse"]:.2f}')

# %%
log = (workdir / 'metrics.jsonl').read_text()
lines = [json.loads(line) for line in log.splitlines()]
plots.error_curves(lines, title='NG-GNN learns to dilate')

# %% [markdown]
# ## Look at the edits
#
# `editing.edit` writes the edited weights of all test networks into one
# safetensors file. Each of them is a network that can be run.

# %%
path = editing.edit(config, workdir)
edited = specs.from_leaf_arrays(safetensors_numpy.load_file(path))
dataset = inr_sources.load(config.data)
network, test = dataset.network, dataset.split('test')
num_views = dataset.settings.num_views  # Networks that draw one image.
rows = slice(0, 8 * num_views, num_views)
before, after = (
  np.asarray(
    network.render_pixels(
      jax.tree.map(lambda leaf: leaf[rows], weights), test.images.shape[1:3]
    )
  )
  for weights in (test.weights, edited)
)
targets = image_edits.apply(
  image_edits.dilate, test.images[rows], max_value=dataset.max_value
)
plots.edit_panels(
  before,
  targets / image_edits.WHITE,
  after,
  title='Squared error x 100, before and after',
)

# %% [markdown]
# ## An edit is equivariant
#
# Permute the neurons of a network and its edited version has the same
# permutation: the edit does not depend on the order. This holds for any
# parameters; `testing.assert_equivariant` checks it for your own functions of
# weights. Here an editor with fresh parameters:

# %%
topology = graphs.topology(network.spec)
editor = models.create('ng_gnn_edit', spec=network.spec, hidden_size=16)
batch = jax.tree.map(lambda leaf: leaf[:2], test.weights)
variables = jax.jit(editor.init)(
  {'params': jax.random.key(0)}, graphs.encode(topology, batch)
)


@jax.jit
def edit(weights):
  update = editor.apply(variables, graphs.encode(topology, weights))
  return models.apply_update(weights, update)


testing.assert_equivariant(
  edit, network.spec, weights=batch, key=jax.random.key(1)
)
print('equivariant')

# %% [markdown]
# Another edit is one function from image to image:
# `editing.run(config, workdir, image_edit=my_function)`.
