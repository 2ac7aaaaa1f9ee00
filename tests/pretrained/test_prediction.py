# SPDX-License-Identifier: Apache-2.0
"""`ng_jax.predict`: one network or many, compiled once."""

import jax
import numpy as np
import pytest

import ng_jax
from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from ng_jax.models import gnn
from tests.models import readers

_SIREN = networks.Siren((2, 4, 3, 2))
_SPEC = _SIREN.spec


def _pair(name='ng_gnn', **options):
  if name.endswith('edit'):
    model = models.create(
      name, spec=_SPEC, hidden_size=5, num_layers=2, **options
    )
  else:
    model = readers.create(name, _SPEC, num_layers=1, **options)
  return model, readers.draw_variables(model, _SPEC)


def _close(found, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    found,
    expected,
  )


def test_one_network_and_batches_of_any_shape():
  model, variables = _pair()
  weights = readers.draw_weights(_SPEC, num=6)
  graph = graphs.encode(graphs.topology(_SPEC), weights)
  expected = jax.jit(model.apply)(variables, graph)
  found = ng_jax.predict((model, variables), _SPEC, weights)
  assert found.shape == (6, 3)
  _close(found, expected)
  one = jax.tree.map(lambda x: x[2], weights)
  found = ng_jax.predict((model, variables), _SPEC, one)
  assert found.shape == (3,)
  _close(found, expected[2])
  square = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), weights)
  found = ng_jax.predict((model, variables), _SPEC, square)
  assert found.shape == (2, 3, 3)
  _close(found.reshape(6, 3), expected)


@pytest.mark.slow
def test_a_loaded_editor_gives_updates(tmp_path):
  model, variables = _pair('ng_gnn_edit')
  ng_jax.save_pretrained(tmp_path, model, variables, spec=_SPEC)
  loaded = ng_jax.load_pretrained(tmp_path)
  weights = readers.draw_weights(_SPEC, num=2)
  found = ng_jax.predict(loaded, _SPEC, weights)
  assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, weights)
  graph = graphs.encode(graphs.topology(_SPEC), weights)
  _close(jax.jit(loaded)(graph), found)
  one = jax.tree.map(lambda x: x[0], weights)
  alone = ng_jax.predict(loaded, _SPEC, one)
  _close(alone, jax.tree.map(lambda x: x[0], found))
  edited = models.apply_update(one, alone)
  assert jax.tree.map(np.shape, edited) == jax.tree.map(np.shape, one)


def test_compiled_once_per_model_spec_and_batch(monkeypatch):
  traced = []
  plain = gnn.NeuralGraphGNN.embed

  def embed(self, *args, **kwargs):
    traced.append(self.num_inputs)
    return plain(self, *args, **kwargs)

  monkeypatch.setattr(gnn.NeuralGraphGNN, 'embed', embed)
  # An option that no other test uses, so that nothing is compiled yet.
  model, variables = _pair(dropout=0.375)
  traced.clear()
  for seed in range(3):
    weights = readers.draw_weights(_SPEC, num=2, seed=seed)
    ng_jax.predict((model, variables), specs.mlp((2, 4, 3, 2), 'sine'), weights)
  assert len(traced) == 1
  again = models.create('ng_gnn', **_options(model))
  ng_jax.predict((again, variables), _SPEC, weights)
  assert len(traced) == 1
  other = specs.mlp((2, 3, 4, 2))
  ng_jax.predict((model, variables), other, readers.draw_weights(other, num=2))
  assert len(traced) == 2


def _options(model):
  return {
    name: getattr(model, name)
    for name in model.__dataclass_fields__
    if name not in ('parent', 'name')
  }


def test_what_cannot_be_asked():
  model, variables = _pair()
  weights = readers.draw_weights(_SPEC, num=2)
  with pytest.raises(ValueError, match=r'or be a pair \(module, variables\)'):
    ng_jax.predict(model, _SPEC, weights)
  with pytest.raises(ValueError, match='weights do not fit the network spec'):
    ng_jax.predict((model, variables), specs.mlp((2, 4, 2)), weights)
  listed = model.clone(pooled_nodes=['last'])
  with pytest.raises(ValueError, match='give tuples instead of lists'):
    ng_jax.predict((listed, variables), _SPEC, weights)
