# SPDX-License-Identifier: Apache-2.0
"""Mean and standard deviation of every layer, which models normalise by.

All entries of a layer, over all networks of the training split, share one mean
and one unbiased standard deviation (spec 1.2).
"""

from collections.abc import Iterable, Mapping
import dataclasses

import numpy as np

from ng_jax import specs


@dataclasses.dataclass(frozen=True)
class Statistics:
  """One number per layer; hashable, so a model may hold it.

  Attributes:
    weight_mean: per block of edges that carries weights, in the spec's order.
    weight_std: likewise; unbiased.
    bias_mean: per hidden neuron set, then one for all outputs.
    bias_std: likewise; unbiased.
  """

  weight_mean: tuple[float, ...]
  weight_std: tuple[float, ...]
  bias_mean: tuple[float, ...]
  bias_std: tuple[float, ...]

  def __post_init__(self) -> None:
    for mean, std in (
      (self.weight_mean, self.weight_std),
      (self.bias_mean, self.bias_std),
    ):
      if len(mean) != len(std):
        raise ValueError(
          'statistics need as many standard deviations as means, got '
          f'{len(mean)} means and {len(std)} standard deviations.'
        )


def from_weights(spec: specs.NetworkSpec, weights: specs.Weights) -> Statistics:
  """Computes the statistics of a set of networks of one spec.

  Args:
    spec: of the networks.
    weights: leaves [*batch, ...] float; give the training split.

  Returns:
    The statistics. A neuron set without biases gets mean 0 and standard
    deviation 1. Jit: no, on the host in float64.

  Raises:
    ValueError: weights that do not fit the spec; a layer whose values are all
      equal (or a single one), which nothing can be divided by.
  """
  return from_networks([(spec, weights)])


def from_networks(
  networks: Iterable[tuple[specs.NetworkSpec, specs.Weights]],
) -> Statistics:
  """Computes the statistics of networks of any specs, layer by layer.

  Layer l of every network counts as layer l, whatever follows it; the outputs'
  biases belong to the network's own last layer.

  Args:
    networks: (spec, weights with leaves [*batch, ...]) pairs, at least one.

  Returns:
    The statistics, as many layers as the deepest network has. Jit: no, on the
    host in float64.

  Raises:
    ValueError: no networks, or as `from_weights`.
  """
  weights_of: list[list[np.ndarray]] = []
  biases_of: list[list[np.ndarray]] = []
  for spec, weights in networks:
    blocks, nodes = _layers(spec, weights)
    _extend(weights_of, blocks)
    _extend(biases_of, nodes)
  if not weights_of:
    raise ValueError('networks must hold at least one (spec, weights) pair.')
  weight_mean, weight_std = _moments(weights_of, 'weights')
  bias_mean, bias_std = _moments(biases_of, 'biases')
  return Statistics(weight_mean, weight_std, bias_mean, bias_std)


def _layers(
  spec: specs.NetworkSpec, weights: specs.Weights
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
  """Flat values of every block with weights, and of every layer's biases."""
  specs.check_weights(spec, weights)
  arrays = specs.leaf_arrays(weights)
  pooled: dict[tuple[str, str], list[np.ndarray]] = {}
  for leaf in spec.leaves:
    if leaf.kind != 'buffer':
      values = np.asarray(arrays[leaf.path], np.float64).reshape(-1)
      pooled.setdefault((leaf.kind, leaf.fills), []).append(values)
  blocks = [
    pooled.get(('edge', block.name), [])
    for block in spec.blocks
    if block.type != 'skip'
  ]
  hidden = [
    pooled.get(('node', s.name), [])
    for s in spec.neuron_sets
    if s.role == 'hidden'
  ]
  outputs: list[np.ndarray] = []
  for s in spec.neuron_sets:
    if s.role == 'output':
      outputs += pooled.get(('node', s.name), [])
  return blocks, [*hidden, outputs]


def _extend(
  layers: list[list[np.ndarray]], more: list[list[np.ndarray]]
) -> None:
  """Adds values to the layers of the same number."""
  layers += [[] for _ in range(len(more) - len(layers))]
  for layer, values in zip(layers, more, strict=False):
    layer += values


def published() -> dict[str, Statistics]:
  """Statistics of the published INR sets, from the authors' code.

  They belong to sets that others have made; of a set of your own compute them
  with `from_weights`.

  Returns:
    {name: statistics} of 2-32-32-{1,3} SIRENs. The two MNIST sets differ in
    their random split only. Jit: static.
  """
  return dict(_PUBLISHED)


def _moments(
  layers: list[list[np.ndarray]], what: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and unbiased standard deviation of each list of flat arrays."""
  means, stds = [], []
  for i, values in enumerate(layers):
    if not values:
      means.append(0.0)
      stds.append(1.0)
      continue
    joined = np.concatenate(values)
    mean = float(joined.mean())
    std = float(joined.std(ddof=1)) if joined.size > 1 else 0.0
    if not std > 0:
      raise ValueError(
        f'{what} of layer {i + 1} must vary for a standard deviation, got '
        f'{joined.size} values, all {mean:g} or not finite; give more networks '
        'or trained ones, or use no statistics.'
      )
    means.append(mean)
    stds.append(std)
  return tuple(means), tuple(stds)


_PUBLISHED: Mapping[str, Statistics] = {
  'mnist': Statistics(
    (-4.215955e-5, -7.555477e-7, 7.886121e-5),
    (0.0628113, 0.01826815, 0.11791175),
    (5.419965e-6, 3.717341e-6, -0.01239531),
    (0.02133461, 0.01100442, 0.09989195),
  ),
  'mnist_editing': Statistics(
    (-1.166216e-4, -3.271083e-6, 7.234242e-5),
    (0.06279339, 0.01827024, 0.11813738),
    (4.912402e-6, -3.210142e-5, -0.01227904),
    (0.02134791, 0.01099432, 0.09998152),
  ),
  'fashion_mnist': Statistics(
    (6.370306e-6, 6.887205e-6, 1.072986e-5),
    (0.07822809, 0.03240189, 0.13454965),
    (1.679085e-7, -1.156666e-5, -0.02028282),
    (0.02856153, 0.01670025, 0.09595609),
  ),
  'nfn_mnist': Statistics(
    (1.226812e-4, -8.858835e-7, 2.444870e-5),
    (0.28682479, 0.01710976, 0.06391366),
    (6.445262e-4, -3.312844e-5, -0.03267413),
    (0.40904880, 0.10408575, 0.09695733),
  ),
  'nfn_cifar10': Statistics(
    (1.839418e-4, -2.574854e-6, -4.988231e-5),
    (0.28025964, 0.01765990, 0.05460082),
    (5.445666e-4, -2.380056e-6, -2.467838e-3),
    (0.40869609, 0.10388435, 0.08734994),
  ),
}
