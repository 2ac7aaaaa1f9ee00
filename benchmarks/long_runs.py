# SPDX-License-Identifier: Apache-2.0
"""What runs of learning to optimize cost that take hours or days.

Twenty inner steps are measured, compiled before; the rest is multiplication. A
row is the seconds of an inner step, forward and backward pass included, with
the steps and the hours of the whole run beside it. `pes`: the variant 'pes', 16
particles with two signs, windows of 50, 5,000 outer steps, on Fashion-MNIST's
CNN. `wide`: five seeds of 1,000 steps of the CNN of width 128 on CIFAR-10.
`long`: five seeds of 5,000 steps of the paper's CNN on CIFAR-10. Batches have
128 random images.

taskset -c 0 python benchmarks/long_runs.py --json=FILE --seconds=0
"""

from collections.abc import Sequence

from absl import app
from absl import flags
import jax
import meta_steps
import reporting

from ng_jax import meta
from ng_jax.train import meta_experiment
from ng_jax.train import meta_variants

_QUICK = flags.DEFINE_bool('quick', False, 'Tiny networks, for tests.')
_OPTIMIZERS = flags.DEFINE_list(
  'optimizers', ['gradient', 'ff', 'ng_gnn'], "Learned ones, or 'gradient'."
)
_NUM_STEPS = 20
_SEEDS = 5
# Row -> task and steps of a seed.
_TASKS = {
  'wide': ('cifar10_cnn_width_128', 1_000),
  'long': ('cifar10_cnn', 5_000),
}
_TINY = 'digits_mlp'


def emit(name: str, work: meta_steps.Work, num_steps: int) -> None:
  """Measures a row and says what all of its steps cost."""
  found = reporting.measure(work.call, least=1)
  seconds = found.cpu / work.num_steps
  reporting.emit(
    name,
    seconds,
    'seconds of processor time an inner step',
    wall_seconds=float(f'{found.wall / work.num_steps:.4g}'),
    num_steps=num_steps,
    hours=float(f'{seconds * num_steps / 3600:.3g}'),
  )


def pes(optimizer: str) -> tuple[meta_steps.Work, int]:
  """A shorter window of two particles, and the inner steps of the variant."""
  config = meta_variants.make_config(optimizer, 'pes')
  settings = config.estimator
  num_steps = (
    2 * settings.num_particles * settings.window * config.num_steps
  )  # Two signs.
  task = meta.create_task(_TINY if _QUICK.value else config.tasks[0])
  window = meta_steps.Window(task.name, 2, _NUM_STEPS // 4)
  made = meta_experiment.make_optimizer(config, task)
  return meta_steps.make_window(window, made), num_steps


def main(argv: Sequence[str]) -> None:
  """Measures every row for every optimizer."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  for optimizer in _OPTIMIZERS.value:
    if optimizer != 'gradient':
      emit(f'pes_{optimizer}', *pes(optimizer))
    for row, (task, num_steps) in _TASKS.items():
      jax.clear_caches()  # Programs of wide networks are large.
      work = meta_steps.make_application(
        _TINY if _QUICK.value else task,
        None if optimizer == 'gradient' else optimizer,
      )
      emit(f'{row}_{optimizer}', work, _SEEDS * num_steps)


if __name__ == '__main__':
  app.run(main)
