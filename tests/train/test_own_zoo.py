# SPDX-License-Identifier: Apache-2.0
"""Classes of networks of one's own, and specs from the module they are of."""

import csv
import dataclasses

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import pretrained
from ng_jax import specs
from ng_jax.data.cnn_zoo import folder
from ng_jax.data.cnn_zoo import loading
from ng_jax.train import generalization
from ng_jax.train import generalization_variants
from ng_jax.train import mixed_batches
from ng_jax.train import targets
from ng_jax.train import zoo_experiment
from ng_jax.train import zoo_sources
from tests import linen_networks
from tests import repeats
from tests.data import zoo_files
from tests.train import runs

pytestmark = pytest.mark.usefixtures('compilation_cache')

_MODULE = 'tests.linen_networks:Mlp'
_SHAPES = (networks.Mlp((2, 3, 1)), networks.Mlp((2, 4, 3, 1)))
_CLASSES = ('cat', 'dog', 'eel')
_SPLITS = ('train',) * 12 + ('validation',) * 3 + ('test',) * 6


def _write(path, labels, splits=_SPLITS):
  """Networks of two shapes whose label is in their last bias."""
  (path / 'spec.json').write_text(_SHAPES[0].spec.to_json())
  rows = []
  for i, split in enumerate(splits):
    network, name = _SHAPES[i % 2], f'net_{i}.npz'
    weights = zoo_files.draw(network, i)
    arrays = specs.leaf_arrays(weights)
    last = network.spec.leaves[-1].path
    arrays[last] = np.full_like(arrays[last], 3 * (i % 3) - 3)
    np.savez(path / name, **arrays)
    if i % 2:
      name = f'net_{i}.json'
      (path / name).write_text(network.spec.to_json())
    rows.append([f'net_{i}.npz', labels[i % 3], split])
  zoo_files.write_rows(path / 'labels.csv', ['file', 'label', 'split'], rows)


def _config(path, model='statnn', **fields):
  config = generalization_variants.make_config(model, 'smoke')
  config.data.update(kind='folder', path=str(path))
  config.loss = 'cross_entropy'
  if 'dropout' in config.model:
    config.model.dropout = 0.0
  config.update(fields)
  return config


def test_a_run_of_classes_from_the_folder_to_the_exported_model(tmp_path):
  zoo, workdir = tmp_path / 'zoo', tmp_path / 'run'
  zoo.mkdir()
  _write(zoo, _CLASSES)
  config = _config(zoo, num_steps=60, eval_every=30, batch_size=12)
  config.model.hidden_size = 16
  config.optimizer.learning_rate = 1e-2
  found = generalization.run(config, workdir)
  assert found['best_validation_accuracy'] == found['test_accuracy'] == 1
  assert 0 < found['test_loss'] < 0.5
  assert {p.stem for p in (workdir / 'pictures').iterdir()} == {
    *('learning_curves', 'confusion_matrix')
  }
  with generalization.predict(config, workdir).open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [r['prediction'] for r in rows] == list(_CLASSES) * 2
  assert [r['label'] for r in rows] == list(_CLASSES) * 2
  measured = generalization.evaluate(config, workdir)
  model = runs.load_exported(
    generalization.export(config, workdir), config, measured
  )
  assert model.details['class_names'] == list(_CLASSES)
  assert model.details['task'] == 'classification of networks'
  network = folder.read(zoo).splits['test']
  logits = pretrained.predict(
    model, network.network_specs[1], network.weights[1]
  )
  confidence = jax.nn.softmax(logits)[_CLASSES.index('dog')]
  assert confidence == pytest.approx(float(rows[1]['confidence']), abs=1e-4)


@pytest.mark.parametrize('model', ['ng_gnn', 'ng_t'])
def test_mixed_shapes_keep_their_classes(model, tmp_path):
  _write(tmp_path, _CLASSES)
  experiment = zoo_experiment.prepare(
    _config(tmp_path, model, num_buckets=2, microbatch_size=2)
  )
  kind = {'ng_gnn': mixed_batches.Concatenated, 'ng_t': mixed_batches.Stacked}
  assert isinstance(experiment.layout, kind[model])
  rows = experiment.rows['train'][:6:2]
  batch = experiment.layout.batch(rows)
  labels = batch.data['target'].ravel()[batch.places]
  assert labels.dtype == np.int32 and sorted(labels) == [0, 1, 2]
  state = jax.eval_shape(experiment.init)
  sums, results = jax.eval_shape(
    experiment.eval_step, state, batch.data, batch.index
  )
  assert set(sums) == {'loss', 'correct', 'count'}
  assert results['prediction'].shape == batch.data['target'].shape


@pytest.mark.slow
@pytest.mark.parametrize(
  'model', repeats.cases(['ng_gnn', 'ng_t'], quick=('ng_gnn',))
)
def test_mixed_shapes_learn_their_classes(model, tmp_path):
  zoo = tmp_path / 'zoo'
  zoo.mkdir()
  _write(zoo, _CLASSES)
  config = _config(zoo, model, num_buckets=2, microbatch_size=6)
  config.update({'num_steps': 60, 'eval_every': 60, 'batch_size': 12})
  config.model.fourier_scale = 0.3
  config.optimizer.learning_rate = 1e-2
  assert generalization.run(config, tmp_path / 'run')['test_accuracy'] == 1


def test_the_quality_of_classes_is_exact():
  logits = jnp.array([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [1e30, 9.0]])
  labels = np.array([0, 1, 1, 7], np.int32)
  mask = jnp.array([True, True, True, False])
  sums = targets.sums(logits, jnp.asarray(labels), mask, loss='cross_entropy')
  found = jax.tree.map(
    np.asarray, targets.results(logits[:3], loss='cross_entropy')
  )
  quality = targets.quality(
    {name: np.asarray(x)[None] for name, x in sums.items()},
    found,
    labels[:3],
    num_classes=2,
  )
  losses = np.log1p(np.exp([-2.0, -1.0, 2.0]))
  assert quality.loss == pytest.approx(losses.mean(), rel=1e-6)
  assert quality.accuracy == pytest.approx(2 / 3)
  assert quality.confusion.tolist() == [[1, 0], [1, 1]]


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
  _write(tmp_path, ('10', '9', ' 2'))
  zoo = folder.read(tmp_path)
  assert zoo.class_names == ('2', '9', '10')
  train = zoo.splits['train']
  assert train.accuracy is None
  assert train.label.tolist() == [2, 1, 0] * 4
  assert train.target.dtype == np.int32


@pytest.mark.parametrize(
  ('table', 'message'),
  [
    ('file,label,accuracy\nnet_0.npz,a,0.5\n', 'either accuracy or.*has both'),
    ('file,split\nnet_0.npz,train\n', 'either accuracy or label.*has neither'),
    ('', 'either accuracy or label.*has neither'),
    ('file,label\n', 'either accuracy or label.*has neither'),
    ('file,label\nnet_0.npz, \n', 'net_0.npz has no label'),
    ('file,label,split\nnet_0.npz,a\nnet_1.npz\n', "'label'"),
    (
      'file,label,split\na,x,train\nb,x,validation\nc,x,test\n',
      r"labels of two classes or more, got only \['x'\]",
    ),
    (
      'file,label,split\na,x,train\nb,x,validation\nc,y,test\n',
      r"training split must have networks of every class, but lacks \['y'\]",
    ),
  ],
)
def test_bad_tables_of_classes_are_refused(table, message, tmp_path):
  (tmp_path / 'labels.csv').write_text(table)
  with pytest.raises(ValueError, match=message):
    folder.read(tmp_path)


def test_the_loss_must_fit_the_labels(tmp_path):
  _write(tmp_path, _CLASSES)
  with pytest.raises(
    ValueError, match=r"holds classes, got 'bce'; use one of \['cross_entropy'"
  ):
    zoo_experiment.prepare(_config(tmp_path, loss='bce'))
  _write(tmp_path, _CLASSES)
  table = tmp_path / 'labels.csv'
  text = table.read_text().replace('label', 'accuracy')
  for number, name in enumerate(_CLASSES):
    text = text.replace(name, f'0.{number}')
  table.write_text(text)
  with pytest.raises(
    ValueError, match=r"accuracies, got 'cross_entropy'; use one of \['bce'"
  ):
    zoo_experiment.prepare(_config(tmp_path))


def test_a_split_has_accuracies_or_labels(tmp_path):
  _write(tmp_path, _CLASSES)
  split = folder.read(tmp_path).splits['test']
  with pytest.raises(ValueError, match='accuracies or labels, got neither'):
    dataclasses.replace(split, label=None)
  with pytest.raises(ValueError, match='accuracies or labels, got both'):
    dataclasses.replace(split, accuracy=np.zeros(len(split)))


# Specs from a module.


def _write_of_module(path):
  module = linen_networks.Mlp()
  rows = []
  for i, split in enumerate(loading.SPLITS):
    params = module.init(jax.random.key(i), np.zeros((1, 4)))['params']
    flat = traverse_util.flatten_dict(params, sep='/')
    np.savez(path / f'{i}.npz', **flat)
    rows.append([f'{i}.npz', 0.5, split])
  zoo_files.write_rows(path / 'labels.csv', ['file', 'accuracy', 'split'], rows)


def _module_config(path, **fields):
  config = _config(path)
  config.data.update({'module': _MODULE, 'input_shape': (4,), **fields})
  return config.data


def instance_of_mlp():
  """As a user makes a module that has options."""
  return linen_networks.Mlp()


def a_number():
  """No module."""
  return 3


@pytest.mark.parametrize('name', [_MODULE, f'{__name__}:instance_of_mlp'])
def test_the_spec_is_inferred_from_a_module(name, tmp_path):
  _write_of_module(tmp_path)
  zoo = zoo_sources.load(_module_config(tmp_path, module=name))
  spec = zoo.splits['train'].network_specs[0]
  assert [neurons.size for neurons in spec.neuron_sets] == [4, 6, 5, 3]
  assert [n.activation for n in spec.neuron_sets[1:3]] == ['gelu', 'silu']
  assert zoo.splits['test'].network_specs[0] is spec


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    (
      {'module': 'no.such:Mlp'},
      "'no.such:Mlp' gives ModuleNotFoundError.*PYTH",
    ),
    ({'module': 'tests.linen_networks:Lost'}, 'Lost.* gives AttributeError'),
    ({'module': 'tests.linen_networks'}, "must be 'package.module:Name' of"),
    (
      {'module': f'{__name__}:a_number'},
      "a_number' gives int; name the module",
    ),
    ({'module': ''}, "must be given together, got module='' and"),
    ({'input_shape': ()}, r'must be given together, got .* input_shape=\(\)'),
    ({'input_shape': (0,)}, r'input_shape must be whole numbers above 0.*\(0,'),
    (
      {'input_shape': (7,)},
      r'0.npz: weights do not fit .*Dense_0/kernel.*module with this input_s',
    ),
    (
      {'module': 'tests.linen_networks:FlatCnn'},
      r"from module='tests.linen_networks:FlatCnn' with input_shape=\(4,\)",
    ),
    ({'kind': 'wild_park'}, "are of kind 'folder', got 'tests.linen.*_park'"),
  ],
)
def test_bad_modules_are_refused(fields, message, tmp_path):
  _write_of_module(tmp_path)
  with pytest.raises(ValueError, match=message):
    zoo_sources.load(_module_config(tmp_path, **fields))


def test_a_module_and_a_spec_are_refused(tmp_path):
  _write_of_module(tmp_path)
  (tmp_path / 'spec.json').write_text(_SHAPES[0].spec.to_json())
  with pytest.raises(ValueError, match='spec.json and module=.* both say'):
    zoo_sources.load(_module_config(tmp_path))
