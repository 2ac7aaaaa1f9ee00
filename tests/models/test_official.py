# SPDX-License-Identifier: Apache-2.0
"""Tests of the converter's complaints; test_golden.py tests what it makes."""

import json
import pathlib

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import specs
from ng_jax.models import official

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'


@pytest.fixture(scope='module')
def recording():
  """The official state of one case, and the shapes of our model."""
  with np.load(_GOLDEN / 'inr_gnn_nopos.npz') as file:
    state = {
      name.removeprefix('param/'): file[name]
      for name in file.files
      if name.startswith('param/')
    }
    config = json.loads(str(file['config']))
  name, options = official.model_options(config)
  model = models.create(name, **{**options, 'statistics': None})
  spec = specs.mlp(tuple(config['layer_layout']))
  weights = specs.from_leaf_arrays(
    {
      leaf.path: np.zeros((1, *spec.leaf_shape(leaf)), np.float32)
      for leaf in spec.leaves
    }
  )
  graph = graphs.encode(graphs.topology(spec), weights)
  key = jax.eval_shape(jax.random.key, 0)
  return state, jax.eval_shape(model.init, {'params': key}, graph)


def test_a_whole_state_fits(recording):
  state, expected = recording
  converted = official.convert('ng_gnn', state, expected)
  assert jax.tree.map(np.shape, converted) == jax.tree.map(np.shape, expected)
  kernel = converted['params']['embedding']['node_in']['kernel']
  np.testing.assert_array_equal(
    kernel, state['construct_graph.proj_node_in.weight'].T
  )


def test_all_problems_are_listed_at_once(recording):
  state, expected = recording
  state = dict(state)
  del state['gnn.norms.0.bias']
  state['gnn.attention.weight'] = np.zeros((2, 2))
  state['gnn.convs.0.lin.weight'] = np.zeros((3, 4))
  with pytest.raises(ValueError, match='does not fit the model') as error:
    official.convert('ng_gnn', state, expected)
  for problem in (
    'nothing becomes params/norm_0/bias (9,)',
    'gnn.attention.weight is unknown',
    'gnn.convs.0.lin.weight must become params/conv_0/out/kernel (9, 9), got '
    '(4, 3)',
    'Create the model with the options of the checkpoint',
  ):
    assert problem in str(error.value)


def test_a_model_without_a_counterpart():
  config = {'model': {'_target_': 'nn.nfn.InvariantNFN'}, 'layer_layout': [2]}
  with pytest.raises(ValueError, match='nn.nfn.InvariantNFN') as error:
    official.model_options(config)
  assert 'nn.gnn.GNNForClassification' in str(error.value)


def test_a_model_that_no_checkpoint_becomes():
  with pytest.raises(ValueError, match="the model 'ng_x'; can convert to"):
    official.convert('ng_x', {}, {})
