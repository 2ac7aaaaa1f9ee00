# SPDX-License-Identifier: Apache-2.0
"""Loads mixed batches: laid out in a thread while the device works.

    packing = graphs.choose_concatenation(topologies, 128)   # or choose_stacks
    loader = graphs.Loader(networks, labels, packing, seed=0)
    for step, batch in enumerate(loader.train(first_step), first_step):
      state = train_step(state, batch)

Training runs through an endless stream of shuffled epochs. A network that does
not fit into a batch waits for a later one, in the next epoch if need be, so no
batch of training is cut short and none is lost. The batch of a step depends on
the seed and the number of the step alone: a resumed run sees what an
uninterrupted one sees, and nothing has to be saved.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import itertools
from typing import Any, NamedTuple

import jax
import jraph
import numpy as np

from ng_jax.graphs import batching
from ng_jax.graphs import budgets
from ng_jax.graphs import packing as packing_lib
from ng_jax.graphs import prefetching

PADDING = -1


class Batch(NamedTuple):
  """A mixed batch with what is known of its networks; a pytree.

  Attributes:
    graph: of `graphs.concatenate` or `graphs.stack`.
    labels: tree of arrays [num_graphs, ...], zeros at padding.
    examples: [num_graphs] int32, numbers of the networks, -1 at padding.
    mask: [num_graphs] bool, False at padding.
    weight: [num_graphs] float32, 0 at padding. In training all others are one
      over the mean number of networks in a batch: summed with it, losses
      estimate their mean over the data set without bias, in whatever batches
      the networks lie. In evaluation they are one over the number of networks:
      summed over all batches, metrics are exact means.
  """

  graph: jraph.GraphsTuple
  labels: Any
  examples: np.ndarray
  mask: np.ndarray
  weight: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Loader:
  """Batches of a mixed data set; holds no state of its own.

  Attributes:
    networks: (topology, weights) pairs, weights without batch axes; read one
      by one, so any sequence will do.
    labels: tree of numpy arrays [num_examples, ...].
    packing: of these networks: `choose_concatenation` or `choose_stacks`.
    seed: order of the networks in training.
    node_activations: per network [num_nodes, num_probes], see
      `compute_activations`; become the node field 'activations'.
    place: brings a batch of numpy arrays to where it is used, in the thread;
      None leaves it on the host.
    num_ahead: batches kept ready; 0 lays out batches when they are asked for.
    dtype: of the features.

  Raises:
    ValueError: as many labels, activations or sizes as networks are needed.
  """

  networks: Sequence[batching.Network]
  labels: Any
  packing: packing_lib.Packing
  seed: int = 0
  node_activations: Sequence[np.ndarray] | None = None
  place: Callable[[Batch], Any] | None = jax.device_put
  num_ahead: int = 2
  dtype: Any = np.float32

  def __post_init__(self) -> None:
    num = len(self.networks)
    counts = {'packing': {len(self.packing.num_nodes)}}
    counts['labels'] = {len(leaf) for leaf in jax.tree.leaves(self.labels)}
    if self.node_activations is not None:
      counts['node_activations'] = {len(self.node_activations)}
    wrong = {name: found for name, found in counts.items() if found - {num}}
    if wrong:
      raise ValueError(
        'packing, labels and node_activations must have one entry per network, '
        f'{num}, got '
        + ', '.join(f'{sorted(x)} in {name}' for name, x in wrong.items())
        + '; make them from the same split.'
      )

  def train(self, first_step: int = 0) -> Iterator[Any]:
    """Batches of training, without end.

    Args:
      first_step: number of the first batch, for a run that goes on.

    Returns:
      An iterator of what `place` makes of each `Batch`. Close it (or leave the
      loop) to end its thread. Jit: no, host only.

    Raises:
      ValueError: first_step or num_ahead is negative.
    """
    if first_step < 0:
      raise ValueError(
        f'first_step must be at least 0, got {first_step}; it is the number of '
        'steps already made.'
      )
    groups = itertools.islice(self._training_groups(), first_step, None)
    return self._load(groups, 1 / self.packing.mean_size)

  def evaluate(self) -> Iterator[Any]:
    """Every network once, in order as far as the buckets allow.

    Returns:
      As `train`; the last batch of each shape may have more padding. Jit: no,
      host only.
    """
    num = len(self.networks)
    groups, _ = self.packing.pack(np.arange(num), flush=True)
    return self._load(iter(groups), 1 / num)

  def num_batches(self, num_epochs: int) -> int:
    """Batches of training that are full when so many epochs have been drawn.

    Args:
      num_epochs: at least 1.

    Returns:
      The number of steps to train for. Jit: static.
    """
    counts = (len(groups) for groups in self._epochs())
    return sum(itertools.islice(counts, num_epochs))

  def _epochs(self) -> Iterator[list[packing_lib.Group]]:
    """Per epoch the batches that its networks fill up."""
    carried = np.zeros(0, int)
    for epoch in itertools.count():
      rng = np.random.default_rng([self.seed, epoch])
      stream = np.concatenate([carried, rng.permutation(len(self.networks))])
      groups, carried = self.packing.pack(stream)
      yield groups

  def _training_groups(self) -> Iterator[packing_lib.Group]:
    return itertools.chain.from_iterable(self._epochs())

  def _load(
    self, groups: Iterator[packing_lib.Group], weight: float
  ) -> Iterator[Any]:
    batches: Iterator[Any] = (self._lay_out(x, weight) for x in groups)
    if self.place is not None:
      batches = map(self.place, batches)
    return prefetching.prefetch(batches, self.num_ahead)

  def _lay_out(self, group: packing_lib.Group, weight: float) -> Batch:
    networks = [self.networks[i] for i in group.examples]
    activations = None
    if self.node_activations is not None:
      activations = [self.node_activations[i] for i in group.examples]
    shape = group.shape
    if isinstance(shape, budgets.Budget):
      graph = batching.concatenate(
        networks, shape, node_activations=activations, dtype=self.dtype
      )
    else:
      graph = batching.stack(
        networks,
        **dataclasses.asdict(shape),
        node_activations=activations,
        dtype=self.dtype,
      )
    if not self.packing.share_spec:
      # A batch of one spec by chance would be another structure to compile.
      graph = graph._replace(globals=None)
    index = np.full(shape.num_graphs, PADDING, np.int32)
    index[: len(networks)] = group.examples
    mask = index >= 0
    return Batch(
      graph=graph,
      labels=jax.tree.map(lambda leaf: _rows(leaf, index), self.labels),
      examples=index,
      mask=mask,
      weight=np.where(mask, weight, 0.0).astype(np.float32),
    )


def _rows(values: Any, index: np.ndarray) -> np.ndarray:
  """Rows of a label array, zeros at padding."""
  rows = np.asarray(values)[np.maximum(index, 0)]
  rows[index < 0] = 0
  return rows
