# SPDX-License-Identifier: Apache-2.0
"""Files of trained optimizers that say something impossible are named."""

import json

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ng_jax import optimizers
from ng_jax.optimizers import saving


def _write(path, **changes):
  """A file of a small optimizer, its header changed."""
  optimizer = optimizers.create('ff', hidden_sizes=(3,))
  theta = jax.jit(optimizer.init)(jax.random.key(0))
  optimizers.save(path, optimizer, theta)
  arrays = safetensors_numpy.load_file(path)
  texts = {'format': 1, 'name': 'ff', 'options': {'hidden_sizes': [3]}}
  header = {**texts, 'details': {}, **changes}
  return arrays, {saving._HEADER: json.dumps(header)}


def test_what_was_saved_is_read(tmp_path):
  path = tmp_path / 'a.safetensors'
  arrays, _ = _write(path)
  trained = optimizers.read(path)
  assert trained.optimizer == optimizers.create('ff', hidden_sizes=(3,))
  assert len(jax.tree.leaves(trained.theta)) == len(arrays)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'options': [1]}, 'must be a trained optimizer written by'),
    ({'format': 2}, 'a.safetensors has format 2, this version reads 1; update'),
    ({'options': {'hidden_sizes': [4]}}, 'a.safetensors must hold an optimize'),
    ({'options': {'spec': 3}}, 'a.safetensors must hold .* values for .*spec'),
    ({'options': {'hidden_sizes': [10**9]}}, 'hold .* be at most 65,536 here'),
    ({'name': 'adam'}, 'a.safetensors must hold .*unknown optimizer .*adam'),
  ],
)
def test_headers_that_fit_nothing(tmp_path, changes, message):
  path = tmp_path / 'a.safetensors'
  arrays, texts = _write(path, **changes)
  safetensors_numpy.save_file(arrays, path, texts)
  with pytest.raises(ValueError, match=message):
    optimizers.read(path)


def test_arrays_that_make_no_theta(tmp_path):
  path = tmp_path / 'a.safetensors'
  arrays, texts = _write(path)
  one = next(iter(arrays))
  arrays[f'{one}/more'] = np.zeros(1)
  safetensors_numpy.save_file(arrays, path, texts)
  with pytest.raises(ValueError, match='a.safetensors must be a trained optim'):
    optimizers.read(path)
