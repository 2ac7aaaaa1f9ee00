# SPDX-License-Identifier: Apache-2.0
"""CNNs as the official code holds them, as graphs and weights of ours.

The official data set turns a CNN into one list of nodes and one of edges, all
kernels already padded to a common size. `read_graphs` reads such graphs back
into weights, so that ours can be built from them. Other official models read
the arrays of PyTorch, layer by layer: `read_torch_layers`.
"""

from collections.abc import Mapping
import math
import re
from typing import Any

import jraph
import numpy as np

from ng_jax import graphs
from ng_jax import networks
from ng_jax import specs


def read_graphs(
  arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> list[tuple[graphs.Topology, specs.Weights]]:
  """Reads the CNNs of a recording.

  Args:
    arrays: with 'cnn<i>/<field>' for i = 0, 1, ...: the fields of the official
      graphs. 'x' [num_nodes, 1], 'edge_index' [2, num_edges],
      'edge_attr' [num_edges, height * width], 'layer_layout' (channels of
      input, layers and output), 'conv_mask' (1 per convolution, 0 per linear
      layer); 'activations' and 'residual_connections', one per convolution,
      where they are known.
    config: with 'model', the official configuration (for `linear_as_conv` and
      `d_edge_in`, the area of the common kernel, which is square).

  Returns:
    For every CNN its topology and weights without batch axes, numpy arrays of
    the dtype of 'edge_attr', for `graphs.stack`, `graphs.concatenate` or
    `graphs.encode`. Kernels have the common size, since the official graph does
    not say which they had; unknown activations are 'other'. Jit: no.

  Raises:
    ValueError: no CNN, or one that is not convolutions and one linear layer.
  """
  numbers = {
    int(match[1]) for name in arrays if (match := re.match(r'cnn(\d+)/', name))
  }
  if not numbers:
    raise ValueError(
      "arrays must hold 'cnn0/...' and so on, got none among "
      f'{sorted(arrays)[:5]}.'
    )
  constructor = config['model']['graph_constructor']
  found = []
  for number in sorted(numbers):
    prefix = f'cnn{number}/'
    fields = {
      name.removeprefix(prefix): np.asarray(array)
      for name, array in arrays.items()
      if name.startswith(prefix)
    }
    found.append(
      read_graph(fields, linear_as_conv=constructor['linear_as_conv'])
    )
  return found


def read_stack(
  arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> jraph.GraphsTuple:
  """The CNNs of a recording in one batch, padded as the official code does.

  Args:
    arrays: as for `read_graphs`.
    config: as for `read_graphs`.

  Returns:
    A batch of `graphs.stack`, as large as the largest graph. Jit: no.

  Raises:
    ValueError: as `read_graphs`.
  """
  pairs = read_graphs(arrays, config)
  return graphs.stack(
    pairs,
    max_nodes=max(topology.num_nodes for topology, _ in pairs),
    max_edges=max(topology.num_edges for topology, _ in pairs),
    dtype=pairs[0][1]['linear']['bias'].dtype,
  )


def deepest_spec(config: Mapping[str, Any]) -> specs.NetworkSpec:
  """Spec of a CNN as deep as the model reads, its layers one channel wide.

  No array of the model depends on the width of hidden layers.

  Args:
    config: with 'model', the official configuration of NG-GNN or NG-T.

  Returns:
    The spec. Jit: static.
  """
  model = config['model']
  constructor = model['graph_constructor']
  depth = constructor['max_num_hidden_layers']
  side = math.isqrt(constructor['d_edge_in'])
  return networks.Cnn(
    channels=(model['input_channels'], *[1] * depth),
    kernel_sizes=(side,) * depth,
    num_classes=model['num_classes'],
  ).spec


def torch_spec(shapes: Mapping[str, tuple[int, ...]]) -> specs.NetworkSpec:
  """Spec of convolutions and linear layers, one after another.

  Args:
    shapes: {'weights_i': [out, in, height, width] or [out, in], 'biases_i':
      [out]}, without batch axes.

  Returns:
    The spec; leaf paths are 'layers.i.weight' and 'layers.i.bias'. Jit: static.

  Raises:
    ValueError: no plain chain, as `specs.sequential`.
  """
  num_layers = sum(name.startswith('weights_') for name in shapes)
  return specs.sequential(
    {
      f'layers.{i}.{kind}': np.broadcast_to(0.0, shapes[f'{name}_{i}'])
      for i in range(num_layers)
      for kind, name in (('weight', 'weights'), ('bias', 'biases'))
    }
  )


def read_torch_layers(
  arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> jraph.GraphsTuple:
  """Networks of one spec in PyTorch's layout.

  Args:
    arrays: as for `torch_spec`, each with a leading batch axis.
    config: is not looked at.

  Returns:
    The graph of `graphs.encode`. Jit: no.

  Raises:
    ValueError: as `torch_spec`.
  """
  del config
  spec = torch_spec({name: x.shape[1:] for name, x in arrays.items()})
  kinds = {'weight': 'weights', 'bias': 'biases'}
  weights = {}
  for leaf in spec.leaves:
    _, layer, kind = leaf.path.split('.')
    weights[leaf.path] = arrays[f'{kinds[kind]}_{layer}']
  return graphs.encode(graphs.topology(spec), weights)


def read_graph(
  fields: Mapping[str, np.ndarray], *, linear_as_conv: bool
) -> tuple[graphs.Topology, specs.Weights]:
  """Reads one CNN, see `read_graphs`.

  Args:
    fields: of the official graph.
    linear_as_conv: whether weights of the linear layer are in the centre of
      the kernel, else in its first entry.

  Returns:
    Topology and weights. Jit: no, host only.

  Raises:
    ValueError: an architecture or kernel that cannot be read.
  """
  network = _network(fields)
  area = fields['edge_attr'].shape[-1]
  size = (math.isqrt(area), math.isqrt(area))
  slot = area // 2 if linear_as_conv else 0
  sizes = (*network.channels, network.num_classes)
  kernels, biases = [], []
  node, edge = sizes[0], 0
  for i, (fan_in, fan_out) in enumerate(
    zip(sizes[:-1], sizes[1:], strict=True)
  ):
    values = fields['edge_attr'][edge : edge + fan_in * fan_out]
    # From source-major rows to PyTorch's [out, in, height, width].
    values = values.reshape(fan_in, fan_out, area).swapaxes(0, 1)
    last = i == len(sizes) - 2
    kernels.append(
      values[..., slot] if last else values.reshape(fan_out, fan_in, *size)
    )
    biases.append(fields['x'][node : node + fan_out, 0])
    node, edge = node + fan_out, edge + fan_in * fan_out
  weights = network.read_torch(kernels, biases)
  topology = graphs.topology(network.spec, size)
  ends = np.stack([topology.senders, topology.receivers])
  if not np.array_equal(ends, fields['edge_index']):
    raise ValueError(
      'edge_index must list the edges layer by layer, sources first, and '
      'residual edges at the end; the graph is not as the official data set '
      'makes it.'
    )
  return topology, _as_numpy(weights, fields['edge_attr'].dtype)


def _network(fields: Mapping[str, np.ndarray]) -> networks.Cnn:
  *channels, num_classes = (int(size) for size in fields['layer_layout'])
  mask = fields['conv_mask'].tolist()
  if mask != [1] * (len(channels) - 1) + [0]:
    raise ValueError(
      'a CNN must be convolutions and one linear layer, got '
      f'conv_mask={mask} for layer_layout={fields["layer_layout"].tolist()}.'
    )
  area = fields['edge_attr'].shape[-1]
  side = math.isqrt(area)
  if side * side != area:
    raise ValueError(
      f'edge_attr must have the width of a square kernel, got {area}.'
    )
  num = len(channels) - 1
  activations = fields.get('activations', np.array(['other'] * num))
  residual = fields.get('residual_connections', np.array([-1] * num))
  return networks.Cnn(
    channels=tuple(channels),
    kernel_sizes=((side, side),) * num,
    layer_activations=tuple(str(name) for name in activations),
    num_classes=num_classes,
    residual=tuple(int(start) for start in residual),
  )


def _as_numpy(weights: specs.Weights, dtype: Any) -> dict[str, Any]:
  return specs.from_leaf_arrays(
    {
      path: np.asarray(array).astype(dtype)
      for path, array in specs.leaf_arrays(weights).items()
    }
  )
