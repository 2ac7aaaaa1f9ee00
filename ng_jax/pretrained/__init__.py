# SPDX-License-Identifier: Apache-2.0
"""Models with their parameters: saved, loaded, and asked for a prediction."""

from ng_jax.pretrained.conversion import convert_official
from ng_jax.pretrained.folders import load_pretrained
from ng_jax.pretrained.folders import save_pretrained
from ng_jax.pretrained.prediction import predict
from ng_jax.pretrained.prediction import PretrainedModel
from ng_jax.pretrained.shipped import load
from ng_jax.pretrained.shipped import trained_names

__all__ = (
  'PretrainedModel',
  'convert_official',
  'load',
  'load_pretrained',
  'predict',
  'save_pretrained',
  'trained_names',
)
