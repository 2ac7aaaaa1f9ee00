# SPDX-License-Identifier: Apache-2.0
"""What all settings of made data sets have in common: JSON, folder, checks."""

from collections.abc import Iterable, Mapping
import dataclasses
import hashlib
import json
import re
from typing import Any, ClassVar, TypeVar

from ng_jax.data import images

_FOLDERS = ('data_dir', 'image_dir', 'name', 'source_dir', 'split_file')
S = TypeVar('S', bound='Settings')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Base of the settings of a made data set, a frozen dataclass.

  Attributes:
    kind: whose settings they are, and
    title: what the data set is, both for messages.
    prefix: first part of its folder's name.
    format_number: raised when the same settings begin to give other contents.
  """

  kind: ClassVar[str]
  title: ClassVar[str]
  prefix: ClassVar[str]
  format_number: ClassVar[int] = 1

  def to_dict(self) -> dict[str, Any]:
    """All fields, as JSON has them. Jit: static."""
    return json.loads(json.dumps(dataclasses.asdict(self)))

  def folder_name(self) -> str:
    """'<prefix>_<source>_<hash of all settings>'. Jit: static."""
    fields = {'format': self.format_number, **self.to_dict()}
    text = json.dumps(fields, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    source = re.sub('[^a-z0-9]+', '_', fields['source'].lower())
    return f'{self.prefix}_{source}_{digest[:10]}'

  def check_choice(self, name: str, choices: Iterable[str]) -> None:
    """Refuses a value that is not one of the choices. Jit: static."""
    if getattr(self, name) not in choices:
      raise ValueError(
        f'unknown {name} {getattr(self, name)!r}; expected one of '
        f'{sorted(choices)}.'
      )

  def check_source(self) -> None:
    """Refuses a source that `images.read` does not know. Jit: static."""
    source = self.to_dict()['source']
    if not (source in images.sources() or source.startswith('tfds:')):
      raise ValueError(
        f'unknown source {source!r}; expected one of '
        f"{list(images.sources())} or 'tfds:<name>'."
      )

  def check_positive(self, names: Iterable[str]) -> None:
    """Refuses values that are not above 0. Jit: static."""
    for name in names:
      if not getattr(self, name) > 0:
        raise ValueError(
          f'{name} must be above 0, got {getattr(self, name)}; the default is '
          f'{getattr(type(self), name)}.'
        )


def from_dict(kind: type[S], fields: Mapping[str, Any]) -> S:
  """Settings from what `to_dict` gave, or from a config's fields.

  Args:
    kind: class of the settings.
    fields: of that class; those left out keep their defaults.

  Returns:
    The settings. Jit: static.

  Raises:
    ValueError: an unknown field, or a bad value.
  """
  known = [field.name for field in dataclasses.fields(kind)]
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise ValueError(
      f'unknown {kind.kind} settings {unknown}; known are {sorted(known)}.'
    )
  return kind(**fields)


def split_config(
  kind: type[S], config: Mapping[str, Any]
) -> tuple[S, dict[str, str]]:
  """Takes the data part of a config apart.

  Args:
    kind: class of the settings.
    config: fields of that class, and of the folders and files: 'data_dir',
      'image_dir', and perhaps 'name', 'source_dir' and 'split_file'.

  Returns:
    The settings, and the folders as arguments of what makes the data set.
    Jit: no.

  Raises:
    ValueError: an unknown field, or a bad value.
  """
  fields = dict(config)
  folders = {name: fields.pop(name) for name in _FOLDERS if name in fields}
  return from_dict(kind, fields), folders
