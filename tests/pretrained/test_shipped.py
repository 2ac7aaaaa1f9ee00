# SPDX-License-Identifier: Apache-2.0
"""Models that ship load by name, and do what is recorded of them."""

import json
import pathlib

import jax
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import pretrained
from ng_jax import specs
from ng_jax.data import inr

_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'files'
_PREDICTOR = 'accuracy_predictor_fashion_mnist'
_CLASSIFIER = 'inr_classifier_digits'
# Of the run, on its test split.
_SCORES = {_PREDICTOR: ('test_tau', 0.5), _CLASSIFIER: ('test_accuracy', 0.9)}


def test_the_promised_ones_are_there():
  assert set(pretrained.trained_names()) >= {_PREDICTOR, _CLASSIFIER}


@pytest.mark.parametrize('name', pretrained.trained_names())
def test_says_what_it_was_trained_on_and_how_good_it_is(name):
  details = pretrained.load(name).details
  assert set(details) >= {'task', 'data', 'outputs', 'scores', 'config'}
  score, least = _SCORES.get(name, ('test_accuracy', 0.5))
  assert details['scores'][score] > least
  # Nothing of the machine that made it.
  assert '/' not in json.dumps(details)


def test_unknown_names_list_the_known():
  with pytest.raises(
    ValueError,
    match=r"unknown model 'inr_classifier_digit'; did you mean "
    r"'inr_classifier_digits'\? Known names: \['accuracy_.*load_pretrained",
  ):
    pretrained.load('inr_classifier_digit')


def _zoo_networks():
  with np.load(_GOLDEN / 'zoo_networks.npz') as file:
    arrays = {name: file[name] for name in file.files}
  for k, prediction in enumerate(arrays['prediction']):
    spec = specs.NetworkSpec.from_json(str(arrays[f'spec_{k}']))
    prefix = f'weights_{k}/'
    leaves = {
      name.removeprefix(prefix): array
      for name, array in arrays.items()
      if name.startswith(prefix)
    }
    yield spec, specs.from_leaf_arrays(leaves), prediction


def test_the_predictor_says_of_each_network_what_its_run_said():
  # There they were in a batch of mixed networks, here each is alone.
  predictor = pretrained.load(_PREDICTOR)
  for spec, weights, expected in _zoo_networks():
    found = pretrained.predict(predictor, spec, weights)
    np.testing.assert_allclose(jax.nn.sigmoid(found), [expected], rtol=1e-4)


def test_the_predictor_says_which_kernels_it_reads():
  spec = networks.Cnn((1, 4, 4), (9, 3), num_classes=10).spec
  weights = jax.tree.map(
    lambda leaf: np.zeros(leaf, np.float32),
    specs.from_leaf_arrays({x.path: spec.leaf_shape(x) for x in spec.leaves}),
    is_leaf=lambda x: isinstance(x, tuple),
  )
  with pytest.raises(ValueError, match=r'got \(9, 9\) and kernel=\(7, 7\)'):
    pretrained.predict(pretrained.load(_PREDICTOR), spec, weights)


@pytest.mark.slow
def test_the_classifier_reads_networks_of_digits_it_never_saw(tmp_path):
  classifier = pretrained.load(_CLASSIFIER)
  settings = inr.InrSettings(
    source='digits',
    num_train=4,
    num_validation=4,
    num_test=60,
    hidden_sizes=(16, 16),
    num_steps=500,
    seed=1,
  )
  dataset = inr.make_or_load(settings, tmp_path)
  test = dataset.split('test')  # Of images that are for testing only.
  logits = pretrained.predict(classifier, dataset.network.spec, test.weights)
  assert logits.shape == (60, 10)
  assert (np.argmax(logits, axis=-1) == test.labels).mean() > 0.8
