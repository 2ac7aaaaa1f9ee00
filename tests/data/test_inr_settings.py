# SPDX-License-Identifier: Apache-2.0
"""Tests the settings of INR data sets and the names they give."""

import dataclasses

import pytest

from ng_jax.data import inr_settings

_DEFAULT = inr_settings.InrSettings()


def test_defaults_are_the_papers():
  assert _DEFAULT.network(1).layer_sizes == (2, 32, 32, 1)
  counts = (_DEFAULT.num_train, _DEFAULT.num_validation, _DEFAULT.num_test)
  assert counts == (55_000, 5_000, 10_000)


def test_every_setting_changes_the_folder():
  others = {
    'source': 'digits',
    'variant': 'nfn',
    'init': 'shared',
    'keep': 'best',
    'dtype': 'float64',
    'hidden_sizes': (16, 16),
  }
  names = {_DEFAULT.folder_name()}
  for field in dataclasses.fields(_DEFAULT):
    value = others.get(field.name) or getattr(_DEFAULT, field.name) + 1
    names.add(
      dataclasses.replace(_DEFAULT, **{field.name: value}).folder_name()
    )
  assert len(names) == 1 + len(dataclasses.fields(_DEFAULT))


def test_folder_name_is_stable():
  # Sets that users have made must be found again after an update.
  assert _DEFAULT.folder_name() == 'inr_mnist_2db3977e51'
  prepared = dataclasses.replace(_DEFAULT, source='tfds:image_files/mnist')
  assert prepared.folder_name().startswith('inr_tfds_image_files_mnist_')


def test_reads_what_it_writes():
  settings = inr_settings.InrSettings(hidden_sizes=[8, 4], w0=20.0)
  assert settings.hidden_sizes == (8, 4)
  assert inr_settings.from_dict(settings.to_dict()) == settings
  assert hash(settings) == hash(inr_settings.from_dict(settings.to_dict()))


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'variant': 'siren'}, "unknown variant 'siren'; .*'dws', 'nfn'"),
    ({'init': 'same'}, "unknown init 'same'; .*'independent', 'shared'"),
    ({'keep': 'first'}, "unknown keep 'first'; .*'best', 'last'"),
    ({'dtype': 'bfloat16'}, "unknown dtype 'bfloat16'"),
    ({'source': 'svhn'}, "unknown source 'svhn'; expected one of .*'digits'"),
    ({'num_views': 0}, 'num_views must be above 0, got 0; the default is 1'),
    ({'num_train': 1}, 'num_train must be at least 2, .* got 1; ask for more'),
    ({'num_test': -1}, 'num_test must be above 0, got -1'),
    ({'learning_rate': 0.0}, 'learning_rate must be above 0, got 0.0'),
    ({'chunk_size': 0}, 'chunk_size must be above 0, got 0'),
    ({'hidden_sizes': ()}, r'hidden_sizes must hold at least one width.* \(\)'),
    (
      {'steps': 3},
      r"unknown INR settings \['steps'\]; known are .*'num_steps'",
    ),
  ],
)
def test_refuses_bad_values(fields, message):
  with pytest.raises(ValueError, match=message):
    inr_settings.from_dict(fields)
