# SPDX-License-Identifier: Apache-2.0
"""What is saved trains to the bit as before; other files are refused."""

import json
from typing import Any

import jax
import numpy as np
import optax
import pytest
from safetensors import numpy as safetensors_numpy

from ng_jax import optimizers
from tests.optimizers import tiny

_NUM_STEPS = 10


def _train(tx: Any) -> Any:
  """Parameters after steps on a quadratic."""
  params = tiny.draw_params(tiny.MLP.spec, 1)

  def step(carry: Any, _: None) -> tuple[Any, None]:
    params, state = carry
    updates, state = tx.update(params, state, params, value=1.0)
    return (optax.apply_updates(params, updates), state), None

  start = (params, tx.init(params))
  return jax.lax.scan(step, start, length=_NUM_STEPS)[0][0]


@pytest.mark.parametrize('name', sorted(tiny.OPTIONS))
def test_saved_optimizers_train_as_before(name, tmp_path):
  spec = tiny.MLP.spec if name in tiny.NEED_SPEC else None
  optimizer = tiny.create(name, spec)
  theta = tiny.draw_theta(optimizer, 2)
  path = tmp_path / 'own.safetensors'
  optimizers.save(path, optimizer, theta, {'note': 'a test'})
  trained = optimizers.read(path, spec)
  assert trained.optimizer == optimizer
  assert trained.details == {'note': 'a test'}
  run = jax.jit(lambda theta: _train(optimizer.transformation(theta)))
  before, after = run(theta), run(trained.theta)
  for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
    np.testing.assert_array_equal(a, b)
  start = jax.tree.leaves(tiny.draw_params(tiny.MLP.spec, 1))
  assert any(
    np.any(a != b) for a, b in zip(jax.tree.leaves(before), start, strict=True)
  )
  assert [file.name for file in tmp_path.iterdir()] == ['own.safetensors']


def test_options_can_be_replaced(tmp_path):
  optimizer = tiny.create('ff')
  theta = tiny.draw_theta(optimizer)
  path = tmp_path / 'own.safetensors'
  optimizers.save(path, optimizer, theta)
  found = optimizers.read(path, max_exponent=5.0).optimizer
  assert found == tiny.create('ff', max_exponent=5.0)
  with pytest.raises(ValueError, match='theta'):
    optimizers.read(path, hidden_sizes=(4,))


def test_only_whole_optimizers_are_written(tmp_path):
  optimizer = tiny.create('ff')
  theta = tiny.draw_theta(optimizer)
  with pytest.raises(ValueError, match=r"path must end in '\.safetensors'"):
    optimizers.save(tmp_path / 'own.npz', optimizer, theta)
  with pytest.raises(ValueError, match='theta'):
    other = tiny.draw_theta(tiny.create('lstm'))
    optimizers.save(tmp_path / 'own.safetensors', optimizer, other)

  class Own(type(optimizer)):
    pass

  with pytest.raises(ValueError, match='registered type, got Own; .*ng_gnn'):
    own = Own(**tiny.OPTIONS['ff'])
    optimizers.save(tmp_path / 'own.safetensors', own, theta)
  assert not list(tmp_path.iterdir())


def test_files_of_others_are_refused(tmp_path):
  path = tmp_path / 'own.safetensors'
  with pytest.raises(ValueError, match='written by ng_jax.optimizers.save'):
    optimizers.load(path)
  path.write_bytes(b'\x10' + b'\0' * 7 + b'{"no": "tensors"')
  with pytest.raises(ValueError, match='cannot be read as one: .*copy the'):
    optimizers.load(path)
  header = {'format': 2, 'name': 'ff', 'options': {}, 'details': {}}
  path.write_bytes(
    safetensors_numpy.save(
      {'a': np.zeros(1, np.float32)}, {'ng_jax_optimizer': json.dumps(header)}
    )
  )
  with pytest.raises(ValueError, match='has format 2, this version reads 1'):
    optimizers.load(path)


def test_names_are_suggested():
  with pytest.raises(
    ValueError, match="optimizer 'ng_gnn_mnist'; did you mean 'ng_gnn_fashion"
  ):
    optimizers.load('ng_gnn_mnist')
  with pytest.raises(ValueError, match=r"optimizer 'x'\. Known names"):
    optimizers.load('x')
  with pytest.raises(ValueError, match='spec'):
    optimizers.load('ng_gnn_fashion_mnist')
