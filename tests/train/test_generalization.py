# SPDX-License-Identifier: Apache-2.0
"""Runs of CNN generalization in this process, on a zoo of random networks."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import graphs
from ng_jax import pretrained
from ng_jax.data import cnn_zoo
from ng_jax.data import settings as settings_lib
from ng_jax.data.cnn_zoo import runs as runs_lib
from ng_jax.train import accuracy_predictor
from ng_jax.train import generalization
from ng_jax.train import generalization_config
from ng_jax.train import generalization_variants
from ng_jax.train import layouts
from ng_jax.train import logging as logging_lib
from ng_jax.train import mixed_batches
from ng_jax.train import regression
from ng_jax.train import zoo_experiment
from ng_jax.train import zoo_sources
from tests import repeats
from tests.train import random_zoo
from tests.train import runs

pytestmark = pytest.mark.usefixtures('compilation_cache')

_MODELS = ('ng_gnn', 'ng_t', 'statnn')


def _config(model='ng_gnn', **fields):
  config = generalization_variants.make_config(model, 'smoke')
  config.model.dropout = 0.0
  config.num_buckets = 2
  config.microbatch_size = 2
  config.update(fields)
  return config


def _use(monkeypatch, zoo):
  monkeypatch.setitem(zoo_sources.KINDS, 'made', lambda data: zoo)


def _networks(zoo):
  kernel = (3, 3)
  return [
    (graphs.topology(spec, kernel), weights)
    for split in zoo.splits.values()
    for spec, weights in zip(split.network_specs, split.weights, strict=True)
  ]


def _predict_alone(experiment, state, networks, rows):
  """Each network alone, through `graphs.encode`: no padding, other code."""
  options = experiment.config.model.to_dict()
  name = options.pop('name')
  model = accuracy_predictor.create_model(
    name,
    [networks[r][0] for r in experiment.rows['train']],
    dtype='float32',
    **options,
  )
  found = []
  for topology, weights in [networks[r] for r in rows]:
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], weights)

    @jax.jit
    def run(weights, topology=topology):
      return model.apply(state.variables, graphs.encode(topology, weights))

    found.append(jax.nn.sigmoid(run(one)[0, 0]))
  return np.array(found)


@pytest.mark.parametrize(
  'model', repeats.cases(_MODELS, repeats=('ng_gnn', 'ng_t'))
)
def test_evaluation_is_exact_per_network(model, monkeypatch):
  zoo = random_zoo.make()
  _use(monkeypatch, zoo)
  experiment = zoo_experiment.prepare(_config(model))
  state = experiment.init()
  found = experiment.evaluate(state, 'test')
  rows = experiment.rows['test']
  alone = _predict_alone(experiment, state, _networks(zoo), rows[:3])
  np.testing.assert_allclose(found.predictions[:3], alone, rtol=2e-5)
  targets = zoo.splits['test'].accuracy
  p = found.predictions.astype(np.float64)
  loss = -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))
  assert found.loss == pytest.approx(loss, rel=1e-5)
  assert found.tau == regression.kendall_tau(targets, found.predictions)
  # The order and the size of batches change nothing.
  other = zoo_experiment.prepare(_config(model, eval_batch_size=3))
  np.testing.assert_allclose(
    other.evaluate(state, 'test').predictions, found.predictions, rtol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'model', repeats.cases(['ng_gnn', 'ng_t'], quick=('ng_gnn',))
)
def test_parts_change_nothing(model, monkeypatch):
  # The gradient of a batch is the same whatever parts it is worked on in.
  _use(monkeypatch, random_zoo.make())
  states = []
  for size in (1, 4):
    config = _config(model, microbatch_size=size, num_buckets=1)
    experiment = zoo_experiment.prepare(config)
    rows = experiment.rows['train'][[7, 2, 5, 0]]
    state, sums = experiment.train_step(experiment.init(), None, rows)
    assert int(sums['count']) == 4
    states.append((state.params, sums))
  (a, sums_a), (b, sums_b) = states
  for name in ('loss', 'gradient_norm'):
    np.testing.assert_allclose(sums_a[name], sums_b[name], rtol=1e-4)
  leaves = map(jax.tree.leaves, (a, b))
  moved = [np.abs(x - y).max() for x, y in zip(*leaves, strict=True)]
  assert max(moved) < 2e-4  # A fifth of a step of Adam.


def test_statistics_of_the_readout_leave_out_padding(monkeypatch):
  # The mean of what is pooled moves half way to that of the two networks.
  zoo = random_zoo.make()
  _use(monkeypatch, zoo)
  config = _config(microbatch_size=4, num_buckets=1)
  config.model.pooled_norm = True
  experiment = zoo_experiment.prepare(config)
  rows = experiment.rows['train'][[7, 2]]
  before = experiment.init()
  state, _ = experiment.train_step(experiment.init(), None, rows)

  @jax.jit
  def pool(graph):
    _, seen = experiment.model.apply(
      before.variables,
      graph,
      capture_intermediates=lambda module, _: module.name == 'pooled_norm',
    )
    return seen['intermediates']['pooled_norm']['__call__'][0][0]

  pooled = []
  for topology, weights in [_networks(zoo)[row] for row in rows]:
    one = jax.tree.map(lambda leaf: leaf[None], weights)
    pooled.append(pool(graphs.encode(topology, one)))
  # Evaluation with fresh statistics divides by sqrt(1 + epsilon) alone.
  expected = 0.5 * np.mean(pooled, axis=0) * np.sqrt(1 + 1e-5)
  found = state.batch_stats['pooled_norm']['mean']
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
  anew, count = experiment.statistics_step(before, None, rows)
  np.testing.assert_allclose(
    anew['pooled_norm']['mean'], 2 * count * expected, rtol=1e-4, atol=1e-6
  )
  assert float(count) == 2


@pytest.mark.repeated
def test_resumed_run_equals_uninterrupted_to_the_bit(monkeypatch, tmp_path):
  _use(monkeypatch, random_zoo.make())
  config = _config()
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  expected = generalization.run(config, whole)
  config.num_steps = 3
  generalization.run(config, parts)
  config.num_steps = 6
  runs.assert_equal_metrics(generalization.run(config, parts), expected)
  like = jax.eval_shape(zoo_experiment.prepare(config).init)
  runs.assert_equal_states(
    *(
      runs.latest_state(x, like, metric='validation_tau')
      for x in (whole, parts)
    )
  )
  _check_workdir(config, whole, expected)


def _check_workdir(config, workdir, expected):
  """Selection by validation tau, predictions, pictures."""
  lines = logging_lib.read_metrics(workdir / 'metrics.jsonl')
  taus = {
    x['step']: x['validation_tau'] for x in lines if 'validation_tau' in x
  }
  best = max(taus, key=lambda step: (taus[step], step))
  assert expected['best_step'] == best
  assert expected['best_validation_tau'] == taus[best]
  found = generalization.evaluate(config, workdir)
  assert found['test_tau'] == expected['test_tau']
  assert json.loads((workdir / 'evaluation.json').read_text()) == found
  path = generalization.predict(config, workdir)
  with path.open(newline='') as file:
    rows = list(csv.DictReader(file))
  _check_export(config, workdir, found, rows)
  columns = [[float(r[k]) for r in rows] for k in ('accuracy', 'prediction')]
  assert regression.kendall_tau(*map(np.array, columns)) == pytest.approx(
    expected['test_tau']
  )
  pictures = {p.name for p in (workdir / 'pictures').iterdir()}
  assert pictures == {'learning_curves.png', 'predictions.png'}


def _check_export(config, workdir, found, rows):
  """A model that says of a test network, alone, what the run said."""
  folder = generalization.export(config, workdir)
  model = runs.load_exported(folder, config, found)
  network, row = random_zoo.make().splits['test'], rows[0]
  assert row['network'] == network.names[0]
  logit = pretrained.predict(
    model, network.network_specs[0], network.weights[0]
  )
  assert jax.nn.sigmoid(logit[0]) == pytest.approx(
    float(row['prediction']), rel=1e-4
  )


def test_learns_what_the_weights_say(monkeypatch, tmp_path):
  _use(monkeypatch, random_zoo.make())
  config = _config('statnn', num_steps=150, eval_every=150, log_every=150)
  config.model.hidden_size = 32
  config.optimizer.learning_rate = 1e-2
  generalization.run(config, tmp_path)
  experiment = zoo_experiment.prepare(config)
  like = jax.eval_shape(experiment.init)
  state = runs.latest_state(tmp_path, like, metric='validation_tau')
  assert experiment.evaluate(state, 'train').tau > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
  'model', repeats.cases(['ng_gnn', 'ng_t'], quick=('ng_gnn',))
)
def test_the_ablation_does_not_see_activations(model, monkeypatch):
  plain = random_zoo.make()
  flipped = random_zoo.make(flip_activations=True)
  for variant, equal in (('smoke', False), ('smoke+no_activations', True)):
    config = generalization_variants.make_config(model, variant)
    config.model.dropout = 0.0
    found = []
    for zoo in (plain, flipped):
      _use(monkeypatch, zoo)
      experiment = zoo_experiment.prepare(config)
      state = experiment.init()
      found.append(experiment.evaluate(state, 'validation').predictions)
    assert np.allclose(*found, rtol=1e-5) == equal


@pytest.mark.slow
def test_one_spec_lies_on_the_device(monkeypatch, tmp_path):
  _use(monkeypatch, random_zoo.make(num_shapes=1))
  config = _config()
  config.augmentation.noise = 0.1
  experiment = zoo_experiment.prepare(config)
  assert isinstance(experiment.layout, layouts.OnDevice)
  state = experiment.init()
  one, sums = experiment.train_step(state, None, np.array([1, 4, 6]))
  assert int(sums['count']) == 3
  # Noise is drawn in training, never in evaluation.
  config.augmentation.noise = 0.0
  quiet = zoo_experiment.prepare(config)
  moved, _ = quiet.train_step(quiet.init(), None, np.array([1, 4, 6]))
  leaves = zip(*map(jax.tree.leaves, (one.params, moved.params)), strict=True)
  assert any(not np.array_equal(a, b) for a, b in leaves)
  np.testing.assert_array_equal(
    quiet.evaluate(quiet.init(), 'test').predictions,
    experiment.evaluate(experiment.init(), 'test').predictions,
  )


def test_buckets_hold_every_row_once():
  groups = (np.arange(0, 20, 2), np.arange(1, 8, 2))
  sampler = mixed_batches.BucketSampler(groups, 3, seed=5)
  assert (sampler.num_examples, sampler.steps_per_epoch) == (14, 6)
  epochs = []
  for epoch in range(2):
    batches = [sampler.batch(6 * epoch + i) for i in range(6)]
    assert all(len({row % 2 for row in batch}) == 1 for batch in batches)
    rows = np.concatenate(batches)
    assert sorted(rows) == sorted(np.concatenate(groups))
    epochs.append(rows)
  assert not np.array_equal(*epochs)


@pytest.mark.parametrize('name', ['ng_gnn', 'ng_t'])
def test_few_sizes_are_compiled(name):
  zoo = random_zoo.make()
  networks = _networks(zoo)
  targets = np.concatenate([s.accuracy for s in zoo.splits.values()])
  layout = layouts.choose_mixed(
    networks,
    targets,
    name=name,
    batch_size=8,
    part_size=2,
    num_buckets=2,
    multiple_of=1,
  )
  rows = np.arange(len(networks))
  sampler = layout.sampler(rows, batch_size=8, seed=0)
  sizes = set()
  for step in range(3 * sampler.steps_per_epoch):
    chosen = sampler.batch(step)
    batch = layout.batch(chosen)
    shapes = jax.tree.map(np.shape, batch.data)
    sizes.add(str((shapes, batch.index.shape)))
    chosen = chosen[chosen >= 0]
    # Every row is where its result will be looked for.
    np.testing.assert_array_equal(
      batch.data['target'].ravel()[batch.places], targets[chosen]
    )
    assert batch.data['mask'].sum() >= len(chosen)
    real = batch.data['mask'] & (batch.index >= 0)[:, None]
    assert real.sum() == len(chosen)
  assert len(sizes) <= 3


def test_degrees_are_means_over_all_nodes():
  topologies = [topology for topology, _ in _networks(random_zoo.make())][:5]
  degrees = np.concatenate(
    [np.bincount(t.receivers, minlength=t.num_nodes) for t in topologies]
  )
  assert accuracy_predictor.degree_constant(topologies) == pytest.approx(
    np.mean(np.log(degrees + 1))
  )


def test_nfn_reads_one_spec(monkeypatch):
  _use(monkeypatch, random_zoo.make())
  with pytest.raises(
    ValueError, match=r"'nfn' reads networks of one spec, but this zoo has 3"
  ):
    zoo_experiment.prepare(_config('nfn'))


@pytest.mark.parametrize(
  ('model', 'variant', 'layout', 'num_seen'),
  [
    ('nfn', 'smoke', layouts.OnDevice, 1),
    ('nfn', 'smoke+np', layouts.OnDevice, 1),
    ('ng_gnn', 'smoke_one_shape', mixed_batches.Concatenated, 2),
  ],
)
def test_one_shape_may_have_several_activations(
  model, variant, layout, num_seen, monkeypatch
):
  zoo = random_zoo.make(num_shapes=1, flip_activations=True, flip_every=2)
  assert len({s for x in zoo.splits.values() for s in x.network_specs}) == 2
  _use(monkeypatch, zoo)
  config = generalization_variants.make_config(model, variant)
  experiment = zoo_experiment.prepare(config)
  # NFN sees the weights alone, the neural graph says what neurons do.
  assert len(set(experiment.topologies)) == num_seen
  assert isinstance(experiment.layout, layout)
  if model == 'nfn':
    assert experiment.model.variant == ('np' if 'np' in variant else 'hnp')
    data = experiment.layout.batch(np.arange(4)).data
    jax.eval_shape(
      experiment.eval_step,
      jax.eval_shape(experiment.init),
      data,
      np.arange(4, dtype=np.int32),
    )


def test_weights_must_be_finite(monkeypatch):
  zoo = random_zoo.make()
  zoo.splits['test'].weights[3]['conv_1']['bias'] = np.array([np.inf, 1.0])
  _use(monkeypatch, zoo)
  with pytest.raises(
    ValueError, match=r"finite, but leaf 'conv_1/bias' of network 20 \(test\)"
  ):
    zoo_experiment.prepare(_config())


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'loss': 'huber'}, "unknown loss 'huber' in config.loss; expected one of"),
    ({'num_buckets': 0}, 'config.num_buckets must be positive, got 0'),
    ({'batch_size': 0}, 'config.batch_size must be positive, got 0'),
  ],
)
def test_refuses_bad_configs(fields, message):
  with pytest.raises(ValueError, match=message):
    generalization_config.check(_config(**fields))


def test_refuses_unknown_models_and_variants():
  with pytest.raises(ValueError, match="unknown model 'dws' in config.model"):
    generalization_config.default_config('dws')
  with pytest.raises(ValueError, match="unknown variant 'huge'"):
    generalization_variants.make_config('ng_gnn', 'huge')
  with pytest.raises(ValueError, match='sets variant, which the model .ng_gnn'):
    generalization_variants.make_config('ng_gnn', 'smoke+np')
  with pytest.raises(ValueError, match='sets activation_embedding, which the'):
    generalization_variants.make_config('statnn', 'smoke+no_activations')


@pytest.mark.parametrize('model', ['ng_gnn', 'ng_t'])
def test_a_normalised_readout_gets_whole_batches(model):
  config = generalization_variants.make_config(
    model, 'fashion_mnist+normalised_readout'
  )
  generalization_config.check(config)
  assert config.model.pooled_norm
  assert config.model.fourier_scale == 0.3
  assert config.microbatch_size == 0
  assert config.precise_batch_stats == 8
  with pytest.raises(ValueError, match='sets pooled_norm, which the model'):
    generalization_variants.make_config('statnn', 'smoke+normalised_readout')


def test_the_zoo_of_one_shape_is_as_the_small_zoo():
  # Spec 6.4: three convolutions of 16 channels, 3 x 3, no residuals.
  fields = generalization_variants.make_config(
    'nfn', 'fashion_mnist_one_shape'
  ).data.to_dict()
  assert (
    generalization_variants.make_config('nfn', 'fashion_mnist').data.to_dict()
    == fields
  )
  settings, _ = settings_lib.split_config(
    cnn_zoo.ZooSettings,
    {k: v for k, v in fields.items() if k not in zoo_sources._PLACES},
  )
  chosen = runs_lib.choose(settings, input_channels=1, num_classes=10)
  assert {run.network.channels for run in chosen} == {(1, 16, 16, 16)}
  assert {run.network.residual for run in chosen} == {(-1, -1, -1)}
  assert len(chosen) == 150 and settings.image_size == 14
  assert len({run.network.layer_activations for run in chosen}) == 8
  assert len({run.learning_rate for run in chosen}) == 5


def test_published_settings():
  # Spec 7.4 and 7.5.
  park = generalization_variants.make_config('ng_t', 'paper')
  assert (park.loss, park.batch_size, park.num_epochs) == ('bce', 128, 20)
  assert (park.model.node_size, park.model.dropout) == (32, 0.2)
  assert park.schedule.warmup_steps == 0
  assert park.optimizer.clip_norm == 10.0
  small = generalization_variants.make_config('ng_gnn', 'small_zoo')
  assert (small.loss, small.model.hidden_size) == ('mse', 256)
  assert not small.model.linear_as_conv
  assert (small.augmentation.noise, small.eval_every) == (0.1, 100)
  nfn = generalization_variants.make_config('nfn', 'paper')
  assert (nfn.data.kind, nfn.model.variant) == ('small_zoo', 'hnp')
  other = generalization_variants.make_config('ng_t', 'small_zoo')
  assert (other.loss, other.batch_size) == ('bce', 192)
