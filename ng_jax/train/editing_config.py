# SPDX-License-Identifier: Apache-2.0
"""Fields of an editing config: the paper's defaults and the checks."""

import ml_collections

from ng_jax.data import image_edits
from ng_jax.train import config as config_lib
from ng_jax.train import editor
from ng_jax.train import run_config

_SIZES = ('num_train', 'num_validation', 'num_test')


def default_config(model: str = 'ng_gnn_edit') -> ml_collections.ConfigDict:
  """The paper's settings (section 4.1 and its code): dilation of MNIST INRs.

  Args:
    model: of `models.MODELS`; decides which options config.model has.

  Returns:
    A config with every field there is, those of `run_config.default_fields`
    (warm-up over 10,000 steps, gradients clipped at norm 1) and
      model: name, and the options of the model.
      edit: name of an image edit, or the path of a function, see
        `image_edits.find`.
      out_of_domain: source, images whose INRs the model has never seen, such as
        'fashion_mnist'; '' for none. Only the test split is used, but the whole
        set is made where it is missing. image_dir: their folder. num_train,
        num_validation, num_test: sizes of its splits, 0 for those of data. The
        other settings are those of data. kind, path and split_file: of INRs
        that are read, as in data; kind '' for that of data.

  Raises:
    ValueError: unknown model, or one that is no editor.
  """
  config = ml_collections.ConfigDict(
    {
      **run_config.default_fields(),
      'model': {'name': model, **editor.model_options(model)},
      'edit': 'dilate',
      'out_of_domain': {
        'source': '',
        'kind': '',
        'path': '',
        'split_file': '',
        'image_dir': '',
        **dict.fromkeys(_SIZES, 0),
      },
    }
  )
  config.schedule.warmup_steps = 10_000
  config.optimizer.clip_norm = 1.0
  return config


def check(
  config: ml_collections.ConfigDict,
  *,
  image_edit: image_edits.ImageEdit | None = None,
) -> None:
  """Refuses a config that cannot be run, before anything is made.

  Args:
    config: of a run.
    image_edit: that takes the place of config.edit, which then only says what
      it is called.

  Raises:
    ValueError: unknown or missing fields, an unknown model or edit, values out
      of range.
  """
  config_lib.check_fields(config, run_config.of_model(default_config, config))
  run_config.check_values(config)
  for field in _SIZES:
    if config.out_of_domain[field] < 0:
      raise ValueError(
        f'config.out_of_domain.{field} must not be negative, got '
        f'{config.out_of_domain[field]}; 0 takes that of config.data.'
      )
  if image_edit is None:
    image_edits.find(config.edit)
