# SPDX-License-Identifier: Apache-2.0
"""Whole runs in this process: what is written, resuming, clear errors."""

import json

import jax
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import networks
from ng_jax.train import checkpoints
from ng_jax.train import classification
from ng_jax.train import classification_config
from ng_jax.train import classification_variants
from ng_jax.train import experiment
from ng_jax.train import logging as logging_lib
from ng_jax.train import reading
from tests.train import runs

MODELS = ('ng_gnn', 'ng_t')


pytestmark = pytest.mark.usefixtures('compilation_cache')


@pytest.fixture
def config(data_dir):
  config = classification_variants.make_config('ng_gnn', 'smoke')
  config.data.data_dir = data_dir
  config.model.reverse_edges = False
  return config


def final_state(workdir):
  with checkpoints.CheckpointStore(workdir / 'checkpoints') as store:
    step = store.latest_step()
    return step, store.metrics(step)


@pytest.mark.repeated
def test_resumed_run_equals_uninterrupted_to_the_bit(config, tmp_path):
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  config.num_steps = 6
  expected = classification.run(config, whole)
  config.num_steps = 3
  classification.run(config, parts)
  config.num_steps = 6
  found = classification.run(config, parts)
  like = jax.eval_shape(classification.prepare(config).init)
  runs.assert_equal_states(
    *(runs.latest_state(x, like) for x in (whole, parts))
  )
  runs.assert_equal_metrics(found, expected)
  lines = [runs.untimed_lines(x) for x in (whole, parts)]
  assert lines[0] == lines[1]
  assert [line['step'] for line in lines[0]] == [2, 3, 4, 6]
  check_workdir(config, whole, expected)


@pytest.mark.slow
@pytest.mark.parametrize('anew', [0, 2])
def test_a_resumed_run_with_batch_norm_equals_an_uninterrupted_one(
  data_dir, tmp_path, anew
):
  config = classification_variants.make_config('mlp', 'smoke')
  config.data.data_dir = data_dir
  config.precise_batch_stats = anew
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  expected = classification.run(config, whole)
  config.num_steps = 3
  classification.run(config, parts)
  config.num_steps = 6
  found = classification.run(config, parts)
  runs.assert_equal_metrics(found, expected)
  like = jax.eval_shape(classification.prepare(config).init)
  states = [runs.latest_state(workdir, like) for workdir in (whole, parts)]
  runs.assert_equal_states(*states)
  initial = jax.tree.leaves(classification.prepare(config).init().batch_stats)
  moved = jax.tree.leaves(states[0].batch_stats)
  assert all(np.any(x != y) for x, y in zip(initial, moved, strict=True))


def check_workdir(config, workdir, metrics):
  """What a finished run leaves; running it again changes nothing."""
  last = logging_lib.read_metrics(workdir / 'metrics.jsonl')[-1]
  assert last == metrics
  assert 0 <= last['test_accuracy'] <= 1
  pictures = {path.name for path in (workdir / 'pictures').iterdir()}
  assert pictures == {
    'learning_curves.png',
    'confusion_matrix.png',
    'inr_renderings.png',
  }
  written = json.loads((workdir / 'config.json').read_text())
  assert written['model']['name'] == 'ng_gnn'
  again = classification.run(config, workdir)
  assert again == metrics
  found = classification.evaluate(config, workdir)
  folder = classification.export(config, workdir)
  model = runs.load_exported(folder, config, found)
  assert len(model.details['class_names']) == 10


@pytest.mark.slow
def test_errors_of_a_workdir(config, tmp_path):
  with pytest.raises(ValueError, match='holds no checkpoints; train first'):
    classification.evaluate(config, tmp_path / 'none')
  config.num_steps = 3
  classification.run(config, tmp_path)
  changed = config.copy_and_resolve_references()
  changed.optimizer.learning_rate = 0.5
  with pytest.raises(ValueError, match=r'optimizer.learning_rate: 0.0015 in'):
    classification.run(changed, tmp_path)
  shorter = config.copy_and_resolve_references()
  shorter.num_steps = 2
  with pytest.raises(ValueError, match='is already at step 3, beyond'):
    classification.run(shorter, tmp_path)
  wider = config.copy_and_resolve_references()
  wider.model.hidden_size = 8
  with pytest.raises(ValueError) as error:
    classification.evaluate(wider, tmp_path)
  assert 'of another shape: params/' in str(error.value)
  assert final_state(tmp_path)[0] == 3


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'model': {'name': 'ng_gn'}}, "unknown model 'ng_gn'"),
    ({'model': {'hiden_size': 3}}, "did you mean 'hidden_size'"),
    ({'learning_rate': 3}, "unknown config field 'learning_rate'"),
    ({'batch_size': 0}, 'config.batch_size must be positive, got 0'),
    ({'seed': -1}, 'config.seed must not be negative, got -1'),
    ({'precise_batch_stats': -1}, 'precise_batch_stats must not be negative'),
    ({'dtype': 'float8'}, 'config.dtype must be one of'),
    ({'num_steps': 0, 'num_epochs': 0}, 'config.num_epochs must be positive'),
    ({'data': {'sorce': 'digits'}}, "did you mean 'source'"),
    (
      {'matmul_precision': 'high '},
      "config.matmul_precision must be one of .*'highest'",
    ),
  ],
)
def test_config_errors_come_before_anything_is_made(
  config, tmp_path, change, message
):
  with config.unlocked():
    config.update(change)
  with pytest.raises(ValueError, match=message):
    classification.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_weights_that_are_not_finite_are_refused():
  siren = networks.Siren((2, 4, 1))
  keys = jax.random.split(jax.random.key(0), 5)
  weights = jax.device_get(jax.vmap(siren.init)(keys))
  experiment.check_finite(weights, split='test')
  kernel = np.array(weights['layer_1']['kernel'])
  kernel[3, 0, 1] = np.nan
  weights['layer_1'] = {**weights['layer_1'], 'kernel': kernel}
  with pytest.raises(ValueError) as error:
    experiment.check_finite(weights, split='test')
  assert (
    "of the test split are not finite: leaf 'layer_1/kernel' of 1 of 5"
    in (str(error.value))
  )
  assert 'number 3' in str(error.value)


def test_degree_constant_is_that_of_the_reference():
  topology = graphs.topology(networks.Siren((2, 32, 32, 1)).spec)
  assert reading.degree_constant(topology) == pytest.approx(2.246871, abs=1e-6)


@pytest.mark.parametrize('model', MODELS)
def test_default_config_is_the_papers(model):
  config = classification_config.default_config(model)
  classification_config.check(config)
  assert config.batch_size == 128
  assert config.num_epochs == 200
  assert config.eval_every == 1000
  assert config.optimizer.learning_rate == 1e-3
  assert config.optimizer.weight_decay == 5e-4
  assert config.optimizer.clip_norm == 10.0
  assert config.schedule.warmup_steps == 1000
  assert config.augmentation.enabled
  assert config.data.num_train == 55_000
  assert config.model.dropout == 0.2
  assert config.model.num_probes == 0
  reverse = {'ng_gnn': True, 'ng_t': False}[model]
  assert config.model.reverse_edges == reverse
  assert config.model.fourier_scale == {'ng_gnn': 3.0, 'ng_t': 1.0}[model]
  json.dumps(config.to_dict())


def test_variants_and_modifiers():
  make = classification_variants.make_config
  assert make('ng_t', 'paper+probes_16').model.num_probes == 16
  assert not make('ng_gnn', 'mnist+no_positions').model.position_embedding
  assert make('ng_gnn', 'fashion_mnist').data.source == 'fashion_mnist'
  assert make('ng_gnn', 'fashion_mnist+small').data.num_train == 4_000
  with pytest.raises(ValueError, match="'digit'; did you mean 'digits'"):
    make('ng_gnn', 'digit')
  for variant in ('probes_64+paper', 'paper+digits'):
    with pytest.raises(ValueError, match='must be one base of'):
      make('ng_gnn', variant)
  with pytest.raises(ValueError, match="unknown model 'ng_gn'"):
    make('ng_gn', 'paper')
  for name in ('dws', 'mlp', 'statnn'):
    for base in ('paper', 'mnist', 'fashion_mnist', 'digits', 'smoke'):
      classification_config.check(make(name, base + '+small'))
    for option, modifier in (
      ('num_probes', 'probes_16'),
      ('position_embedding', 'no_positions'),
    ):
      with pytest.raises(
        ValueError, match=f'sets {option}, which the model {name!r} does not'
      ):
        make(name, f'paper+{modifier}')
  assert make('dws', 'fashion_mnist').optimizer.learning_rate == 5e-3
  assert make('dws', 'paper').batch_size == 512


def test_the_recipe_of_probing():
  make = classification_variants.make_config
  config = make('probing', 'paper+generated_probes')
  classification_config.check(config)
  assert config.model.probe_source == 'generator'
  assert (config.model.num_probes, config.model.num_layers) == (64, 6)
  assert (config.batch_size, config.num_epochs) == (32, 30)
  assert config.optimizer.learning_rate == 3e-4
  assert not config.augmentation.enabled
  for field in ('weight_decay', 'amsgrad', 'clip_norm'):
    assert not config.optimizer[field], field
  for variant in ('smoke', 'digits', 'fashion_mnist', 'mnist+small'):
    small = make('probing', variant)
    classification_config.check(small)
    assert small.model.probe_source == 'normal'
    # A cosine over the whole run, without warm-up.
    assert small.schedule.name == 'cosine'
    assert (small.schedule.warmup_steps, small.schedule.decay_steps) == (0, 0)
  config = make('ng_gnn', 'paper+generated_probes')
  classification_config.check(config)
  assert (config.model.probe_source, config.model.num_probes) == (
    'generator',
    64,
  )
  config = make('ng_t', 'paper+probes_16+generated_probes')
  assert config.model.num_probes == 16


@pytest.mark.parametrize('name', ['ng_gnn', 'ng_t'])
def test_graphs_with_the_readout_and_the_augmentation_of_probing(name):
  make = classification_variants.make_config
  modifiers = '+generated_probes+mild_augmentation'
  alone = make('probing', 'mnist' + modifiers)
  config = make(name, 'mnist+probe_outputs' + modifiers)
  for made in (alone, config, make(name, 'mnist+probe_outputs')):
    classification_config.check(made)
    assert made.model.num_probes == 64
  assert config.model.read_probe_outputs
  assert not config.model.pooled_norm
  assert config.model.readout_size == alone.model.hidden_size
  assert config.model.num_readout_layers == alone.model.num_layers
  assert config.augmentation == alone.augmentation
  assert config.augmentation.enabled
  # What the digits are trained with; the rest stays the recipe's.
  assert config.augmentation == make(name, 'digits').augmentation
  assert not make('probing', 'digits').augmentation.enabled
  with pytest.raises(ValueError, match='sets read_probe_outputs, which'):
    make('probing', 'mnist+probe_outputs')
  layers = make(name, 'mnist+normalised_readout+layer_means').model
  assert (layers.pooled_norm, layers.pooling) == (True, 'cat_mean')


@pytest.mark.slow
def test_probing_learns_and_its_rate_ends_at_zero(data_dir, tmp_path):
  config = classification_variants.make_config(
    'probing', 'smoke+generated_probes'
  )
  config.data.data_dir = data_dir
  config.num_steps, config.num_epochs, config.eval_every = 0, 40, 1_000
  config.optimizer.learning_rate = 1e-2
  config.model.num_probes, config.model.hidden_size = 32, 64
  assert experiment.num_steps(config, 24) == 120
  prepared = classification.prepare(config)
  assert float(prepared.learning_rate(119)) == pytest.approx(0, abs=1e-9)
  assert float(prepared.learning_rate(59)) == pytest.approx(5e-3, rel=1e-3)
  last = classification.run(config, tmp_path)
  assert last['step'] == 120
  lines = logging_lib.read_metrics(tmp_path / 'metrics.jsonl')
  losses = [line['train_loss'] for line in lines if 'train_loss' in line]
  assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_model_without_probes_and_positions():
  make = classification_variants.make_config
  paper = make('nfn', 'paper')
  classification_config.check(paper)
  assert paper.model.channels == (512, 512, 512)
  assert (paper.batch_size, paper.model.dropout) == (128, 0.5)
  assert not paper.model.normalize
  original = make('nfn', 'fashion_mnist+original_recipe')
  assert (original.batch_size, original.num_steps) == (32, 200_000)
  assert original.optimizer.learning_rate == 1e-4
  assert not original.optimizer.amsgrad
  for option, variant in (
    ('num_probes', 'digits+probes_16'),
    ('position_embedding', 'paper+no_positions'),
  ):
    with pytest.raises(
      ValueError, match=f"this variant sets {option}, which the model 'nfn'"
    ):
      make('nfn', variant)


def test_a_model_that_is_no_classifier():
  with pytest.raises(
    ValueError, match="unknown model 'nfn_edit' in config.model.name; expected"
  ):
    classification_config.default_config('nfn_edit')


def test_bfloat16_is_the_models_choice_only(config):
  config.dtype = 'bfloat16'
  prepared = classification.prepare(config)
  state = jax.eval_shape(prepared.init)
  sums, results = jax.eval_shape(
    prepared.eval_step, state, prepared.data, np.arange(8, dtype=np.int32)
  )
  leaves = jax.tree.leaves((state.params, sums['loss'], results['confidence']))
  assert {str(leaf.dtype) for leaf in leaves} == {'float32'}
