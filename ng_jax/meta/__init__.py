# SPDX-License-Identifier: Apache-2.0
"""Learning to optimize: tasks, their evaluation, and learning the optimizers.

Modules of tasks: `pixels` (images on the device), `streams` (their order),
`optimizees` (networks that are trained), `tasks` (by name), `evaluation`
(training runs from several seeds), `measuring` (each made once), `tuning`
(Adam, tuned) and `reports` (tables and curves).

Modules of meta-training: `problems` (what theta steers), `unrolling` (inner
steps in a scan), `estimators` (of the gradient of theta), `outer` (what is made
of it) and `training` (the outer step on one or several devices).
"""

from ng_jax.meta.evaluation import evaluate
from ng_jax.meta.evaluation import Evaluation
from ng_jax.meta.evaluation import measure_step
from ng_jax.meta.pixels import Batch
from ng_jax.meta.pixels import Pixels
from ng_jax.meta.pixels import Splits
from ng_jax.meta.problems import InnerProblem
from ng_jax.meta.problems import LearningProblem
from ng_jax.meta.streams import draw_rows
from ng_jax.meta.tasks import create as create_task
from ng_jax.meta.tasks import generalisation_suite
from ng_jax.meta.tasks import names as task_names
from ng_jax.meta.tasks import read_pixels
from ng_jax.meta.tasks import Task
from ng_jax.meta.tuning import tune_adam

__all__ = (
  'Batch',
  'Evaluation',
  'InnerProblem',
  'LearningProblem',
  'Pixels',
  'Splits',
  'Task',
  'create_task',
  'draw_rows',
  'evaluate',
  'generalisation_suite',
  'measure_step',
  'read_pixels',
  'task_names',
  'tune_adam',
)
