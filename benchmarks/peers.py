# SPDX-License-Identifier: Apache-2.0
"""Speed of models, of SIREN fitting and of learning to optimize.

Every row is measured next to a product of two 2048 x 2048 float32 matrices in
NumPy, whose speed is written beside it: machines and moments differ, ratios of
the two can be compared. Networks are SIRENs of sizes (2, 32, 32, 1); training
rows are forward, backward and AdamW with dropout, as in the paper.

A row is `<model>_<train or eval>`, with `_segments` for the general path (any
padded batch) and without for the fast one (one spec, known when compiling).
`<row>_best` is the best of several batch sizes. `meta_steps.py` has the rows of
learning to optimize.

python benchmarks/peers.py --json=FILE --rows=ng_gnn_32_train,siren_fit_8
"""

from collections.abc import Callable, Sequence
import functools
import json
import time
from typing import Any

from absl import app
from absl import flags
import jax
import jax.numpy as jnp
import meta_steps
import numpy as np
import optax

from ng_jax import graphs
from ng_jax import models
from ng_jax import networks
from ng_jax.data import fitting
from ng_jax.train import devices as devices_lib
from ng_jax.train import microbatches
from ng_jax.train import optimizers
from ng_jax.train import state as state_lib
from ng_jax.train import steps

_JSON = flags.DEFINE_string('json', '', 'File to append the rows to.')
_ROWS = flags.DEFINE_list('rows', [], 'Rows to measure; all by default.')
_SECONDS = flags.DEFINE_float(
  'seconds', 5.0, 'Least time to measure a row for.'
)
_MICROBATCH = flags.DEFINE_integer(
  'microbatch',
  -1,
  'Graphs worked on at once; 0 for the whole batch, -1 for what is fastest.',
)

# Model, its options, and the batch size of the row.
_MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
  'ng_gnn_32': ('ng_gnn', {'hidden_size': 32}, 128),
  'ng_gnn_64': ('ng_gnn', {'hidden_size': 64}, 128),
  'ng_t': ('ng_t', {}, 32),
}
_BEST_BATCHES = (4, 16, 64)
# Image side and hidden width of the fitted SIRENs.
_FITS = {'siren_fit_28': (28, 32), 'siren_fit_8': (8, 16)}


def calibration_gflops() -> float:
  """Speed of a single-precision product in NumPy, best of five."""
  matrix = np.random.default_rng(0).random((2048, 2048), np.float32)
  times = []
  for _ in range(5):
    start = time.perf_counter()
    matrix @ matrix
    times.append(time.perf_counter() - start)
  return 2 * 2048**3 / min(times) / 1e9


def graphs_per_second(
  model_row: str, batch_size: int, *, train: bool, segments: bool
) -> tuple[float, float]:
  """Measures a model; returns graphs/s and the seconds of the first call."""
  name, options, _ = _MODELS[model_row]
  network = networks.Siren()
  topology = graphs.topology(network.spec)
  model = models.create(name, spec=network.spec, **options)
  keys = jax.random.split(jax.random.key(0), batch_size)
  weights = jax.jit(jax.vmap(network.init))(keys)

  def encode(weights: Any) -> Any:
    graph = graphs.encode(topology, weights)
    return graphs.flatten(graph) if segments else graph

  def init(key: jax.Array) -> Any:
    one = jax.tree.map(lambda leaf: leaf[:1], weights)
    return model.init({'params': key}, encode(one))

  def loss(
    variables: Any, examples: Any, mask: jax.Array, keys: Any
  ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    logits = model.apply(
      variables,
      encode(examples),
      train=True,
      rngs={'dropout': keys.microbatch},
    )
    labels = jnp.zeros(mask.shape, jnp.int32)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
      logits, labels
    )
    return jnp.sum(losses), ({'count': jnp.sum(mask)}, {})

  def metric(
    variables: Any, examples: Any, mask: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    logits = model.apply(variables, encode(examples))
    return {'count': jnp.sum(mask)}, {'logits': logits}

  optimizer = optimizers.adamw(1e-3, weight_decay=5e-4)
  state = state_lib.create(
    jax.jit(init)(jax.random.key(1)), optimizer, key=jax.random.key(2)
  )
  index = np.arange(batch_size, dtype=np.int32)
  devices = devices_lib.choose(0)
  microbatch = _MICROBATCH.value
  if microbatch < 0:
    microbatch = microbatches.choose_size(0, model, topology, devices)
  if not microbatch or batch_size % (microbatch * len(devices)):
    microbatch = batch_size // len(devices)
  if train:
    step = functools.partial(
      steps.train_step,
      loss_function=loss,
      optimizer=optimizer,
      microbatch_size=microbatch,
    )
  else:
    step = functools.partial(
      steps.eval_step, metric_function=metric, microbatch_size=microbatch
    )
  run = devices_lib.make_step(step, devices)
  data = devices_lib.replicate(weights, devices)
  state = devices_lib.replicate(state, devices)
  return _rate(lambda: run(state, data, index), batch_size)


def fit_steps_per_second(row: str) -> tuple[float, float]:
  """Measures SIREN fitting; returns INR steps/s and the first call's time."""
  side, width = _FITS[row]
  network = networks.Siren((2, width, width, 1))
  num_networks, num_steps = (64, 100) if side == 28 else (512, 200)
  pixels = np.random.default_rng(0).random(
    (num_networks, side * side, 1), np.float32
  )
  coordinates = network.coordinates((side, side))
  keys = jax.random.split(jax.random.key(0), num_networks)

  def fit() -> Any:
    return fitting.fit(
      network,
      keys,
      images=pixels,
      coordinates=coordinates,
      num_steps=num_steps,
      learning_rate=1e-3,
    )

  return _rate(fit, num_networks * num_steps)


def _rate(call: Callable[[], Any], work: int) -> tuple[float, float]:
  """Work per second over the best call, and the time of the first one."""
  start = time.perf_counter()
  jax.block_until_ready(call())
  first = time.perf_counter() - start
  times: list[float] = []
  while len(times) < 3 or sum(times) < _SECONDS.value:
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return work / min(times), first


def _measure(row: str) -> dict[str, Any]:
  before = calibration_gflops()
  extra: dict[str, Any] = {}
  if row in _FITS:
    value, first = fit_steps_per_second(row)
    unit = 'INR steps/s'
  elif row in (*meta_steps.WINDOWS, *meta_steps.APPLICATIONS):
    work = meta_steps.prepare(row)
    value, first = _rate(work.call, work.num_steps)
    unit = 'inner steps/s'
  else:
    base, best = row.removesuffix('_best'), row.endswith('_best')
    base, segments = base.removesuffix('_segments'), '_segments' in base
    model_row, mode = base.rsplit('_', 1)
    sizes = _BEST_BATCHES if best else (_MODELS[model_row][2],)
    found = [
      (
        *graphs_per_second(
          model_row, size, train=mode == 'train', segments=segments
        ),
        size,
      )
      for size in sizes
    ]
    value, first, extra['batch_size'] = max(found)
    unit = 'graphs/s'
  return {
    'name': row,
    'value': round(value, 1),
    'unit': unit,
    'calibration_gflops': round(max(before, calibration_gflops()), 1),
    'first_call_s': round(first, 1),
    **extra,
  }


def known_rows() -> list[str]:
  """Names of all rows."""
  plain = [f'{model}_{mode}' for mode in ('train', 'eval') for model in _MODELS]
  rows = plain + [f'{row}_segments' for row in plain]
  best = [f'{row}_best' for row in plain]
  learning = [*meta_steps.WINDOWS, *meta_steps.APPLICATIONS]
  return [*rows, *best, *_FITS, *learning]


def main(argv: Sequence[str]) -> None:
  """Measures the rows, prints them and appends them to the file."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  rows = _ROWS.value or known_rows()
  unknown = sorted(set(rows) - set(known_rows()))
  if unknown:
    raise app.UsageError(f'unknown rows {unknown}; known are {known_rows()}.')
  for row in rows:
    line = json.dumps(_measure(row))
    print(line, flush=True)
    if _JSON.value:
      with open(_JSON.value, 'a', encoding='utf-8') as file:
        file.write(line + '\n')


if __name__ == '__main__':
  app.run(main)
