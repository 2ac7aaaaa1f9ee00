# SPDX-License-Identifier: Apache-2.0
"""Describes ng_jax to pip: metadata, what it needs, and the extras."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).resolve().parent


def _read_version() -> str:
  """Reads `__version__` as text, so that building imports nothing."""
  text = (_ROOT / 'ng_jax' / '__init__.py').read_text(encoding='utf-8')
  match = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
  if match is None:
    raise ValueError(
      "ng_jax/__init__.py must hold a line __version__ = 'x.y.z', found none."
    )
  return match.group(1)


def _read_description() -> str:
  """Returns the README, or nothing in a tree that has none."""
  path = _ROOT / 'README.md'
  return path.read_text(encoding='utf-8') if path.exists() else ''


# The releases that ng_jax must not run on, each with its reason:
#   0.10.2  wrong numbers on CPU in jit(matrix product, then reduction), which
#           is a message function followed by an aggregation:
#           https://github.com/jax-ml/jax/issues/39103
#   0.11.0  float32 scatter-add (segment_sum) on GPU up to 2000 times slower:
#           https://github.com/jax-ml/jax/issues/38806
#   0.11.1  fori_loop hangs on CPU:
#           https://github.com/QuantEcon/lecture-python-programming/pull/617
# tests/project/test_versions.py holds a numerical check for the first.
_JAX_RANGE = '>=0.10.0,!=0.10.2,!=0.11.0,!=0.11.1'

_REQUIRED = [
  f'jax{_JAX_RANGE}',
  f'jaxlib{_JAX_RANGE}',
  'flax>=0.12.8',
  'optax>=0.2.8',
  'jraph>=0.0.6.dev0',  # Every release is a dev release; pip wants it named.
  'chex>=0.1.90',
  'orbax-checkpoint>=0.12.8,<1',  # 1.0 changes the interface.
  'ml-collections>=1.1.0',
  'tensorflow-datasets>=4.9.10',  # Read and written without TensorFlow.
  # tensorflow-datasets imports it and forgets to ask for it:
  # https://github.com/tensorflow/datasets/issues/11212
  'importlib-resources>=6.4',
  # tensorflow-datasets asks for it on Linux only; there is no Windows build.
  'array-record>=0.8.0; platform_system != "Windows"',
  'absl-py>=2.3.1',
  'numpy>=2.1',
  'scipy>=1.14',
  'safetensors>=0.8.0',
  'tqdm>=4.66',
]

_DEMO = [
  'matplotlib>=3.9',
  'scikit-learn>=1.5',
]

_NOTEBOOKS = [
  *_DEMO,
  'ipykernel>=6.29',
  'jupytext>=1.16',
  'nbclient>=0.10',
  'nbformat>=5.10',
]

_DOCS = [
  'furo>=2024.8',
  'myst-parser>=4.0',
  'sphinx>=8.0',
]

_EXTRAS = {
  'demo': _DEMO,
  'tensorboard': ['tensorboardX>=2.6.2'],
  'torch': ['torch>=2.5'],  # Its safe_globals.
  'hub': ['huggingface_hub>=0.24'],
  'notebooks': _NOTEBOOKS,
  'docs': _DOCS,
  'test': [
    *_NOTEBOOKS,
    *_DOCS,
    'build>=1.2',
    'hypothesis>=6.100',
    'mypy>=1.15',
    'packaging>=24.0',
    'pytest>=8.0',
    'pytest-xdist>=3.6',
    'ruff>=0.12',
    'setuptools>=77',
    'tensorboardX>=2.6.2',
    'wheel>=0.45',
  ],
  'cuda': [f'jax[cuda12]{_JAX_RANGE}'],
  'tpu': [f'jax[tpu]{_JAX_RANGE}'],
}

setuptools.setup(
  name='ng_jax',
  version=_read_version(),
  description='Neural networks as graphs, in JAX: models that read weights.',
  long_description=_read_description(),
  long_description_content_type='text/markdown',
  author='The ng_jax authors',
  license='Apache-2.0',
  license_files=['LICENSE'],
  keywords=['jax', 'flax', 'graph neural networks', 'weight spaces'],
  classifiers=[
    'Development Status :: 3 - Alpha',
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
    'Typing :: Typed',
  ],
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['ng_jax', 'ng_jax.*']),
  package_data={
    'ng_jax': ['py.typed'],
    'ng_jax.optimizers': ['trained/*.safetensors'],
    'ng_jax.pretrained': ['trained/*/*.json', 'trained/*/*.safetensors'],
  },
  install_requires=_REQUIRED,
  extras_require=_EXTRAS,
  zip_safe=False,
)
