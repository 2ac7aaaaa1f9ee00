# SPDX-License-Identifier: Apache-2.0
"""Tests that activation functions are told from their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ng_jax import networks
from ng_jax import numerics
from ng_jax import specs
from ng_jax.specs.inference import curves

_FUNCTIONS = {
  **{name: (name, f) for name, f in networks.ACTIVATION_FUNCTIONS.items()},
  'relu by hand': ('relu', lambda x: x * (x > 0)),
  'clipped relu': ('other', lambda x: jnp.clip(x, 0, 6)),
  'gelu by tanh': ('gelu', jax.nn.gelu),
  'gelu in 16 bits': (
    'gelu',
    lambda x: jax.nn.gelu(x.astype(jnp.bfloat16)).astype(x.dtype),
  ),
  'quick gelu': ('other', lambda x: x * jax.nn.sigmoid(1.702 * x)),
  'sigmoid by tanh': ('tanh', lambda x: 0.5 * (1 + jnp.tanh(x / 2))),
  'silu by hand': ('silu', lambda x: x / (1 + jnp.exp(-x))),
  'leaky by hand': ('leaky_relu', lambda x: jnp.where(x > 0, x, 0.2 * x)),
  'sine of 30': ('sine', lambda x: jnp.sin(30 * x)),
  'sine by polynomials': ('sine', lambda x: numerics.sin_cos(7.0 * x)[0]),
  'cosine': ('sine', lambda x: jnp.cos(3 * x + 1)),
  'scaled and shifted': ('tanh', lambda x: 2 - 3 * jnp.tanh(x - 1)),
  'shift alone': ('none', lambda x: (x + 1) / 2),
  'absolute value': ('other', jnp.abs),
  'square': ('other', jnp.square),
  'exponential': ('other', jnp.exp),
  'selu': ('other', jax.nn.selu),
  'two in a row': ('other', lambda x: jnp.tanh(jax.nn.relu(x))),
  'around pooling': (
    'other',
    lambda x: jnp.tanh(jnp.mean(jax.nn.relu(x), axis=1)),
  ),
}


@pytest.mark.parametrize('name', _FUNCTIONS)
def test_activation_is_named(name):
  expected, function = _FUNCTIONS[name]
  weights = {'a': np.zeros((3, 4)), 'b': np.zeros((4, 2))}
  spec = specs.infer(
    lambda w, x: function(x @ w['a']) @ w['b'],
    weights,
    np.zeros((1, 5, 3), np.float32),
    check=False,
  )
  assert spec.neuron_set('a').activation == expected


def test_every_name_of_a_spec_can_be_found():
  found = {
    curves.classify(np.asarray(function(curves.GRID.astype(np.float32))))
    for function in networks.ACTIVATION_FUNCTIONS.values()
  }
  assert found == set(specs.ACTIVATIONS) - {'other'}


_EVEN = {'rounding_method': jax.lax.RoundingMethod.TO_NEAREST_EVEN}
_AWAY = {'rounding_method': jax.lax.RoundingMethod.AWAY_FROM_ZERO}
_HALVES = [-1.5, -0.5, 0.2, 0.5, 2.5]


@pytest.mark.parametrize(
  ('name', 'params', 'values'),
  [
    ('round', _EVEN, [_HALVES]),
    ('round', _AWAY, [_HALVES]),
    ('integer_pow', {'y': -3}, [_HALVES]),
    ('erf', {}, [_HALVES]),
    ('erfc', {}, [_HALVES]),
    ('logistic', {}, [_HALVES]),
    ('atan2', {}, [_HALVES, [1.0, -1.0, 0.5, -0.2, 2.0]]),
    ('rem', {}, [_HALVES, [1.0, -1.0, 0.3, -0.2, 2.0]]),
    ('clamp', {}, [-0.3, _HALVES, 0.4]),
  ],
)
def test_numpy_is_as_jax(name, params, values):
  values = [np.asarray(value, np.float32) for value in values]
  expected = getattr(jax.lax, name)(*values, *params.values())
  found = curves.evaluate(name, params, values)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
