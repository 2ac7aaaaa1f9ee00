# SPDX-License-Identifier: Apache-2.0
"""Trained models that ship with ng_jax, loaded by name.

Each is a folder that `save_pretrained` wrote, from a run's best checkpoint
(`--mode=export` of the binaries, `ng_jax.train.exporting`).
"""

import difflib
import importlib.resources
import pathlib

from ng_jax.pretrained import folders
from ng_jax.pretrained import prediction


def trained_names() -> tuple[str, ...]:
  """Names of the models that ship with ng_jax. Jit: static."""
  folder = _folder()
  if not folder.is_dir():
    return ()
  return tuple(sorted(x.name for x in folder.iterdir() if x.is_dir()))


def load(name: str) -> prediction.PretrainedModel:
  """Loads a model that ships with ng_jax.

  Args:
    name: one of `trained_names()`.

  Returns:
    The model with its variables, for `predict`; its `details` say what its
    outputs mean, what it was trained on and how good it is. Jit: no.

  Raises:
    ValueError: an unknown name; the known ones are listed.
  """
  known = trained_names()
  if name not in known:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f'; did you mean {close[0]!r}?' if close else '.'
    raise ValueError(
      f'unknown model {str(name)!r}{hint} Known names: {list(known)}; a folder '
      'of your own is read by load_pretrained.'
    )
  return folders.load_pretrained(_folder() / name)


def _folder() -> pathlib.Path:
  files = importlib.resources.files('ng_jax.pretrained')
  return pathlib.Path(str(files)) / 'trained'
