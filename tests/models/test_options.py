# SPDX-License-Identifier: Apache-2.0
"""Tests of how models are created, and of what they refuse."""

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs
from tests.models import readers

_SPEC = specs.mlp((2, 4, 3, 2))


def _init(name, graph=None, spec=_SPEC, **options):
  """Traces the initialisation, where every option is looked at."""
  model = readers.create(name, spec, **options)
  if graph is None:
    weights = readers.draw_weights(_SPEC, num=2)
    graph = graphs.encode(graphs.topology(_SPEC), weights)
  key = jax.eval_shape(jax.random.key, 0)
  return jax.eval_shape(model.init, {'params': key}, graph)


def test_the_spec_fills_in_sizes():
  model = models.create('ng_gnn', spec=specs.mlp((3, 4, 4, 4, 5)))
  assert (model.num_inputs, model.num_hidden_layers) == (3, 3)
  assert model.num_output_nodes == 5
  model = models.create('ng_t', spec=_SPEC, num_hidden_layers=7)
  assert model.num_hidden_layers == 7


def test_defaults_are_the_papers():
  gnn, transformer = models.create('ng_gnn'), models.create('ng_t')
  assert (gnn.hidden_size, gnn.num_layers, gnn.reverse_edges) == (32, 4, True)
  assert gnn.norm_mode == 'graph'
  assert (transformer.node_size, transformer.edge_size) == (64, 32)
  assert (transformer.num_heads, transformer.reverse_edges) == (8, False)
  for model in (gnn, transformer):
    assert (model.dropout, model.pooling, model.pooled_nodes) == (
      0.2,
      'cat',
      'last',
    )
    assert model.fourier_size == 128


def test_an_unknown_model_lists_the_known_ones():
  with pytest.raises(
    ValueError,
    match=r"unknown model 'gnn'; expected one of \[.*'ng_gnn',.* 'ng_t',",
  ):
    models.create('gnn')


def test_a_misspelt_option_has_a_hint():
  with pytest.raises(
    ValueError,
    match="model 'ng_gnn' has no option 'num_layer'; did you mean 'num_layers'"
    r"\? Known options: \['activation_embedding'",
  ):
    models.create('ng_gnn', num_layer=3)


def test_an_option_of_another_model_has_no_hint():
  with pytest.raises(ValueError, match="no option 'zzz' Known options"):
    models.create('ng_t', zzz=1)
  for reserved in ('parent', 'name'):
    assert reserved not in _option_names()


def _option_names():
  with pytest.raises(ValueError, match='Known options') as error:
    models.create('ng_t', zzz=1)
  return str(error.value).split('Known options: ')[1]


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    (
      'ng_gnn',
      {'pooling': 'sum'},
      r"unknown pooling 'sum'; expected one of \['cat', 'cat_mean', 'max', "
      r"'mean'\]",
    ),
    ('ng_t', {'pooling': 'sum'}, "unknown pooling 'sum'; expected one of"),
    (
      'ng_gnn',
      {'norm_mode': 'layer'},
      r"unknown norm mode 'layer'; expected one of \['batch', 'graph', 'node'",
    ),
    (
      'ng_gnn',
      {'modulation': 'scale'},
      r"unknown modulation 'scale'; expected one of \['concat', 'film', 'gate'",
    ),
    (
      'ng_t',
      {'edge_orientation': 'forward'},
      "unknown edge_orientation 'forward'; expected one of "
      r"\['paper', 'reference'\]",
    ),
    (
      'ng_t',
      {'num_heads': 3},
      'num_heads must divide attention_size, got num_heads=3 and '
      'attention_size=8',
    ),
    (
      'ng_gnn',
      {'num_probes': 4},
      'num_probes=4 needs the network that the probes run through, got '
      'network=None',
    ),
    (
      'ng_t',
      {'num_probes': 4},
      r'give network=networks.Siren\(...\), or set num_probes=0',
    ),
    (
      'ng_t',
      {'read_probe_outputs': True},
      'read_probe_outputs=True needs probes, got num_probes=0; set num_probes',
    ),
    (
      'ng_gnn',
      {'num_inputs': 1},
      'position table has too few rows .* num_inputs must be at least 2, got 1',
    ),
    (
      'ng_t',
      {'num_hidden_layers': 1},
      'num_hidden_layers must be at least 2, got 1; create the model with the '
      'largest network',
    ),
    (
      'ng_t',
      {'num_output_nodes': 1},
      'num_outputs must be at least 2, got 1',
    ),
  ],
)
def test_refused_options(name, options, message):
  with pytest.raises(ValueError, match=message):
    _init(name, **options)


@pytest.mark.parametrize('name', sorted(readers.GRAPH_MODELS))
def test_a_graph_without_fields(name):
  weights = readers.draw_weights(_SPEC, num=2)
  flat = graphs.flatten(graphs.encode(graphs.topology(_SPEC), weights))
  bare = flat._replace(nodes={'bias': flat.nodes['bias']})
  with pytest.raises(
    ValueError,
    match=r"must have the node fields \['activation', 'depth', 'index', 'role'",
  ):
    _init(name, graph=bare)
  with pytest.raises(ValueError, match="must have the edge field 'weight'"):
    _init(name, graph=flat._replace(edges={}))


def test_a_skip_over_no_layer_has_no_place_among_pairs():
  skip = specs.Block('s', 'hidden_1', 'hidden_2', type='skip', kind='diagonal')
  spec = specs.NetworkSpec(
    _SPEC.neuron_sets, (*_SPEC.blocks, skip), _SPEC.leaves
  )
  weights = readers.draw_weights(spec, num=2)
  graph = graphs.encode(graphs.topology(spec), weights)
  _init('ng_gnn', graph=graph)
  with pytest.raises(
    ValueError,
    match="skip 's' must skip at least one layer .* from 'hidden_1' to 'hidden",
  ):
    _init('ng_t', graph=graph)


def test_one_network_needs_a_batch_axis():
  weights = jax.tree.map(lambda x: x[0], readers.draw_weights(_SPEC, num=1))
  graph = graphs.encode(graphs.topology(_SPEC), weights)
  with pytest.raises(ValueError, match='exactly one leading batch axis'):
    _init('ng_gnn', graph=graph)


def test_a_concatenated_batch_needs_max_nodes():
  network = networks.Mlp((2, 4, 3, 2))
  pair = (graphs.topology(network.spec), network.init(jax.random.key(0)))
  batch = graphs.concatenate([pair], graphs.Budget(2, 20, 40))
  with pytest.raises(ValueError, match='set max_nodes on the model'):
    _init('ng_t', graph=batch)
  _init('ng_t', graph=batch, max_nodes=12)


@pytest.mark.slow
def test_every_way_to_pool_gives_a_vector_per_graph():
  # The first kernel of the readout says how wide what was pooled is.
  layers = _SPEC.num_hidden_sets + 2
  for options, width in (
    ({'pooling': 'cat'}, 2 * 6),
    ({'pooling': 'mean'}, 6),
    ({'pooling': 'max', 'pooled_nodes': 'all'}, 6),
    ({'pooling': 'mean', 'pooled_nodes': 1}, 6),
    ({'pooling': 'cat_mean'}, layers * 6),
    ({'pooling': 'mean_edge'}, 4),
    ({'pooling': 'max_edge', 'pooled_nodes': 'all'}, 4),
    ({'pooling': 'cls_token'}, 6),
  ):
    shapes = _init('ng_t', **options)['params']
    kernel = shapes['readout']['layer_0']['kernel']
    assert kernel.shape == (width, 7), options


def test_params_and_constants_are_apart():
  shapes = _init('ng_gnn')
  assert set(shapes) == {'params', 'constants'}
  constants = specs.leaf_arrays(shapes['constants'])
  assert set(constants) == {
    'conv_0/degree_constant',
    'conv_1/degree_constant',
    'embedding/edge_projection/frequencies',
    'embedding/node_projection/frequencies',
  }
  assert {x.dtype for x in jax.tree.leaves(shapes)} == {np.dtype('float32')}
  assert set(_init('ng_gnn', fourier_size=0)['constants']) == {
    'conv_0',
    'conv_1',
  }
