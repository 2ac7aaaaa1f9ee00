# SPDX-License-Identifier: Apache-2.0
"""Config errors name the field and the way out."""

import json

import ml_collections
import pytest

from ng_jax.train import config as config_lib

DEFAULT = {'seed': 0, 'model': {'name': 'a', 'hidden_size': 3}}


def test_known_fields_pass():
  config_lib.check_fields(ml_collections.ConfigDict(DEFAULT), DEFAULT)


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    (
      {**DEFAULT, 'sed': 1},
      "unknown config field 'sed'; did you mean 'seed'?",
    ),
    (
      {'seed': 0, 'model': {**DEFAULT['model'], 'hiden_size': 3}},
      "'model.hiden_size'; did you mean 'hidden_size'?",
    ),
    ({'seed': 0, 'model': {'name': 'a'}}, "'model.hidden_size' is missing"),
  ],
)
def test_unknown_and_missing_fields(config, message):
  with pytest.raises(ValueError) as error:
    config_lib.check_fields(ml_collections.ConfigDict(config), DEFAULT)
  assert message in str(error.value)


def test_changed_config_lists_what_differs():
  old = {'seed': 0, 'num_epochs': 1, 'model': {'name': 'a', 'size': 3}}
  longer = {**old, 'num_epochs': 9}
  config_lib.check_unchanged(longer, old, defaults=old, workdir='runs/x')
  changed = {'seed': 1, 'num_epochs': 1, 'model': {'name': 'a', 'size': 4}}
  with pytest.raises(ValueError) as error:
    config_lib.check_unchanged(changed, old, defaults=old, workdir='runs/x')
  text = str(error.value)
  assert 'runs/x holds a run with another config' in text
  assert 'seed: 0 in the checkpoint, 1 now' in text
  assert 'model.size: 3 in the checkpoint, 4 now' in text
  assert 'name' not in text.split('Give')[0]


def test_a_field_that_is_younger_than_the_run_has_its_default():
  old = {'seed': 0, 'model': {'name': 'a'}}
  defaults = {'seed': 5, 'model': {'name': 'b', 'sizes': (3, 4)}}

  def check(sizes):
    config = {'seed': 0, 'model': {'name': 'a', 'sizes': sizes}}
    config_lib.check_unchanged(config, old, defaults=defaults, workdir='runs/x')

  check((3, 4))
  with pytest.raises(ValueError) as error:
    check((3, 5))
  changed = 'config:\n  model.sizes: [3, 4] in the checkpoint, [3, 5] now\n'
  assert changed in str(error.value)


def test_config_file_holds_the_source(tmp_path):
  config = ml_collections.ConfigDict({'scale': (0.8, 1.2), 'seed': 1})
  config_lib.write(config, tmp_path / 'config.json', source='gnn.py:smoke')
  written = json.loads((tmp_path / 'config.json').read_text())
  assert written == {
    '_source': 'gnn.py:smoke',
    'scale': [0.8, 1.2],
    'seed': 1,
  }


def test_variants():
  known = {'paper': 1, 'digits': 1, 'probes_64': 1}
  chosen = config_lib.choose_variant('paper+probes_64', known)
  assert chosen == ['paper', 'probes_64']
  with pytest.raises(ValueError, match="'digit'; did you mean 'digits'?"):
    config_lib.choose_variant('digit', known)
  with pytest.raises(ValueError, match='names a part twice'):
    config_lib.choose_variant('paper+paper', known)
