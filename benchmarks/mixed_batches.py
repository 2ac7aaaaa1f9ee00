# SPDX-License-Identifier: Apache-2.0
"""Training on CNNs of random architectures: padding, shapes, the host's share.

For NG-GNN on concatenated batches and NG-T on stacks:

* `<model>_padded_<edges or pairs>`: share of the batches that is padding, over
  some epochs;
* `<model>_shapes`: programs compiled by training and evaluation together, of
  one training step each;
* `<model>_layout`: processor time to lay out a batch, on the host;
* `<model>_layout_share`: that over the processor time of the step, in percent;
* `<model>_step`: of training, batches ready;
* `<model>_graphs`: training speed with batches laid out ahead in a thread, and
  `<model>_graphs_in_turn` without.

python benchmarks/mixed_batches.py --json=FILE
"""

from collections.abc import Sequence
import itertools
import time
from typing import Any

from absl import app
from absl import flags
import jax
import jax.numpy as jnp
import numpy as np
import optax
import reporting

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax import specs

_QUICK = flags.DEFINE_bool('quick', False, 'Few small CNNs, for tests.')
_NETWORKS = flags.DEFINE_integer('num_networks', 1000, 'Random architectures.')
_BATCH = flags.DEFINE_integer('batch_size', 32, 'Networks of a batch.')
_STEPS = flags.DEFINE_integer('num_steps', 12, 'Training steps to measure.')
_MODELS = flags.DEFINE_list('models', ['ng_gnn', 'ng_t'], 'Models to measure.')

_KERNEL = (7, 7)
_OPTIONS: dict[str, dict[str, Any]] = {
  'ng_gnn': {'hidden_size': 32},
  'ng_t': {'remat': True},
}
_TINY: dict[str, dict[str, Any]] = {
  'ng_gnn': {'hidden_size': 4, 'num_layers': 1},
  'ng_t': {'node_size': 8, 'attention_size': 8, 'num_layers': 1},
}


def _draw_zoo(num: int) -> list[tuple[graphs.Topology, Any]]:
  """Random CNNs with random weights."""
  rng = np.random.default_rng(0)
  options = {'num_convolutions': (2, 3), 'channels': (4, 8)}
  zoo = []
  for _ in range(num):
    network = networks.draw_cnn(rng, **(options if _QUICK.value else {}))
    arrays = {
      leaf.path: rng.normal(0, 0.1, network.spec.leaf_shape(leaf)).astype('f4')
      for leaf in network.spec.leaves
    }
    topology = graphs.topology(network.spec, _KERNEL)
    zoo.append((topology, specs.from_leaf_arrays(arrays)))
  return zoo


def _padded_share(packing: graphs.Packing) -> float:
  """Percent of the edges, or of the pairs of nodes, that are padding."""
  num = len(packing.num_nodes)
  rng = np.random.default_rng(1)
  stream = np.concatenate([rng.permutation(num) for _ in range(8)])
  groups, _ = packing.pack(stream)
  used = room = 0
  for group in groups:
    if isinstance(group.shape, graphs.Budget):
      used += np.sum(packing.num_edges[group.examples])
      room += group.shape.num_edges
    else:
      used += np.sum(packing.num_nodes[group.examples] ** 2)
      room += group.shape.num_graphs * group.shape.max_nodes**2
  return 100 * (1 - used / room)


class _Trainer:
  """A jitted training step that counts its compilations."""

  def __init__(self, name: str, batch: graphs.Batch) -> None:
    self.num_compiled = 0
    options = (_TINY if _QUICK.value else _OPTIONS)[name]
    model = models.create(
      name,
      num_inputs=3,
      num_hidden_layers=5,
      num_output_nodes=10,
      num_outputs=1,
      activation_embedding=True,
      **options,
    )
    variables = jax.jit(model.init)({'params': jax.random.key(0)}, batch.graph)
    optimizer = optax.adam(1e-3)
    params, constants = variables['params'], variables['constants']
    self.state = (params, optimizer.init(params), jnp.zeros([], jnp.int32))

    def loss(params: Any, batch: graphs.Batch, key: jax.Array) -> jax.Array:
      out = model.apply(
        {'params': params, 'constants': constants},
        batch.graph,
        train=True,
        rngs={'dropout': key},
      )
      losses = jnp.where(batch.mask, (out[:, 0] - batch.labels) ** 2, 0.0)
      return jnp.sum(batch.weight * losses)

    def step(state: Any, batch: graphs.Batch) -> Any:
      self.num_compiled += 1
      params, moments, number = state
      key = jax.random.fold_in(jax.random.key(1), number)
      grads = jax.grad(loss)(params, batch, key)
      updates, moments = optimizer.update(grads, moments, params)
      return optax.apply_updates(params, updates), moments, number + 1

    self._step = jax.jit(step)

  def train(self, batches: Any) -> tuple[int, float, float]:
    """Trains; returns graphs, wall time and processor time."""
    num_graphs = 0
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
      self.state = self._step(self.state, batch)
      num_graphs += int(np.sum(batch.mask))
    jax.block_until_ready(self.state)
    return num_graphs, time.perf_counter() - wall, time.process_time() - cpu


def _measure(name: str, zoo: list[tuple[graphs.Topology, Any]]) -> None:
  topologies = [topology for topology, _ in zoo]
  batch_size = 4 if _QUICK.value else _BATCH.value
  choose = {
    'ng_gnn': graphs.choose_concatenation,
    'ng_t': graphs.choose_stacks,
  }[name]
  packing = choose(topologies, batch_size)
  unit = 'edges' if name == 'ng_gnn' else 'pairs'
  reporting.emit(f'{name}_padded_{unit}', _padded_share(packing), '%')

  def loader(**options: Any) -> graphs.Loader:
    return graphs.Loader(zoo, np.zeros(len(zoo), 'f4'), packing, **options)

  num_steps = 6 if _QUICK.value else _STEPS.value
  on_host = loader(place=None, num_ahead=0)
  layout = reporting.measure(
    lambda: list(itertools.islice(on_host.train(), num_steps))
  )
  reporting.emit(
    f'{name}_layout',
    1000 * layout.cpu / num_steps,
    'ms of processor time a batch',
    wall_ms=round(1000 * layout.wall / num_steps, 2),
  )
  # Compiles all shapes before anything is timed.
  first = next(on_host.train())
  trainer = _Trainer(name, first)
  trainer.train(on_host.evaluate())
  ready = list(itertools.islice(loader(num_ahead=0).train(), num_steps))
  num_graphs, wall, cpu = trainer.train(ready)
  reporting.emit(
    f'{name}_step',
    1000 * wall / num_steps,
    'ms',
    cpu_ms=round(1000 * cpu / num_steps, 1),
  )
  reporting.emit(f'{name}_layout_share', 100 * layout.cpu / cpu, '%')
  for row, num_ahead in ((f'{name}_graphs_in_turn', 0), (f'{name}_graphs', 2)):
    batches = loader(num_ahead=num_ahead).train()
    num_graphs, wall, cpu = trainer.train(itertools.islice(batches, num_steps))
    batches.close()
    reporting.emit(
      row, num_graphs / wall, 'graphs/s', per_cpu_s=round(num_graphs / cpu, 2)
    )
  reporting.emit(f'{name}_shapes', trainer.num_compiled, 'programs')


def main(argv: Sequence[str]) -> None:
  """Measures both layouts."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  zoo = _draw_zoo(40 if _QUICK.value else _NETWORKS.value)
  for name in _MODELS.value:
    _measure(name, zoo)


if __name__ == '__main__':
  app.run(main)
