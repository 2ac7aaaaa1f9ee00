# SPDX-License-Identifier: Apache-2.0
"""Shows a bad JAX pin by its numbers, and keeps the requirement lists alike."""

import ast
import importlib.metadata
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
from packaging import markers
from packaging import requirements
from packaging import specifiers
from packaging import utils
import pytest

from tests import programs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_LANES = ('3.11', '3.12', '3.13')
_BAD_JAX = ('0.10.2', '0.11.0', '0.11.1')


def _setup_arguments() -> dict:
  """Runs setup.py with a setuptools.setup that only records its arguments."""
  import setuptools

  recorded = {}
  text = (_ROOT / 'setup.py').read_text(encoding='utf-8')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setuptools, 'setup', recorded.update)
    patch.chdir(_ROOT)
    code = compile(text, 'setup.py', 'exec')
    exec(code, {'__file__': str(_ROOT / 'setup.py'), '__name__': 'setup'})
  return recorded


def _pins(python_version: str) -> dict[str, str]:
  """Returns {name: version} of requirements.txt on Linux for a Python."""
  environment = markers.default_environment() | {
    'python_version': python_version,
    'python_full_version': f'{python_version}.0',
    'platform_system': 'Linux',
  }
  pins = {}
  for line in (_ROOT / 'requirements.txt').read_text().splitlines():
    line = line.split('#')[0].strip()
    if not line:
      continue
    requirement = requirements.Requirement(line)
    marker = requirement.marker
    if marker is not None and not marker.evaluate(environment):
      continue
    name = utils.canonicalize_name(requirement.name)
    assert name not in pins, f'{name} is pinned twice for {python_version}.'
    (pin,) = requirement.specifier
    assert pin.operator == '==', f'{line} does not pin a version.'
    pins[name] = pin.version
  return pins


def _check_jit_against_op_by_op(num_rows: int, dtype: np.dtype) -> None:
  """Compares jit, op by op and numpy on sum((matrix @ row) ** 2) per row."""
  rows = np.zeros((num_rows, 3), dtype)
  rows[:, 0] = np.linspace(1.0, 2.0, num_rows)
  matrix = jnp.eye(3, dtype=dtype)
  norms = jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2))
  expected = np.sum(rows**2, axis=1)
  np.testing.assert_allclose(norms(jnp.asarray(rows)), expected, rtol=1e-5)
  np.testing.assert_allclose(
    programs.usual_jit(norms)(rows), expected, rtol=1e-5
  )


# https://github.com/jax-ml/jax/issues/39103: jit of a vmapped matrix-vector
# product followed by a reduction is wrong on CPU in jax 0.10.2, from these
# numbers of rows on. A message function and its aggregation look like this.
def test_jit_agrees_with_op_by_op_in_float32():
  _check_jit_against_op_by_op(32_769, np.dtype(np.float32))


def test_jit_agrees_with_op_by_op_in_float64(x64):
  _check_jit_against_op_by_op(16_385, np.dtype(np.float64))


def test_installed_jax_is_allowed():
  ranges = {
    requirements.Requirement(line).name: requirements.Requirement(
      line
    ).specifier
    for line in _setup_arguments()['install_requires']
  }
  for name in ('jax', 'jaxlib'):
    version = importlib.metadata.version(name)
    assert ranges[name].contains(version), f'{name} {version} is excluded.'


@pytest.mark.parametrize('version', _BAD_JAX)
def test_bad_jax_releases_are_excluded(version):
  arguments = _setup_arguments()
  lines = [
    *arguments['install_requires'],
    *arguments['extras_require']['cuda'],
    *arguments['extras_require']['tpu'],
  ]
  jax_lines = [
    requirement
    for requirement in map(requirements.Requirement, lines)
    if requirement.name in ('jax', 'jaxlib')
  ]
  assert len(jax_lines) == 4
  for requirement in jax_lines:
    assert not requirement.specifier.contains(version), str(requirement)
  # Every exclusion is explained beside it.
  text = (_ROOT / 'setup.py').read_text(encoding='utf-8')
  explanation = re.search(
    rf'#   {re.escape(version)}  (?:.*\n)+?.*https://', text
  )
  assert explanation is not None


@pytest.mark.parametrize('python_version', _LANES)
def test_pins_satisfy_the_ranges(python_version):
  arguments = _setup_arguments()
  extras = arguments['extras_require']
  pins = _pins(python_version)
  assert specifiers.SpecifierSet(arguments['python_requires']).contains(
    python_version
  )
  groups = ('demo', 'docs', 'notebooks', 'test')
  lines = [
    *arguments['install_requires'],
    *sum((extras[g] for g in groups), []),
  ]
  for requirement in map(requirements.Requirement, lines):
    name = utils.canonicalize_name(requirement.name)
    assert name in pins, f'requirements.txt does not pin {name}.'
    assert requirement.specifier.contains(pins[name], prereleases=True), (
      f'{name} is pinned to {pins[name]}, setup.py asks for {requirement}.'
    )


def test_lanes_are_the_tested_ones():
  assert _pins('3.11')['jax'] == '0.10.1'
  assert _pins('3.12') == _pins('3.13')
  for version in _LANES:
    assert _pins(version)['jax'] not in _BAD_JAX


def test_users_list_is_required():
  names = {
    utils.canonicalize_name(requirements.Requirement(line).name)
    for line in _setup_arguments()['install_requires']
  }
  assert names >= {
    'jax', 'jaxlib', 'flax', 'optax', 'jraph', 'chex', 'orbax-checkpoint',
    'ml-collections', 'tensorflow-datasets', 'absl-py', 'numpy', 'scipy',
    'safetensors', 'tqdm',
  }  # fmt: skip
  assert names.isdisjoint({'tensorflow', 'torch', 'dm-haiku', 'clu'})


def test_extras():
  assert set(_setup_arguments()['extras_require']) == {
    'demo', 'tensorboard', 'torch', 'hub', 'notebooks', 'docs', 'test', 'cuda',
    'tpu',
  }  # fmt: skip


def test_version_is_the_packages_own():
  tree = ast.parse((_ROOT / 'ng_jax' / '__init__.py').read_text())
  versions = [
    ast.literal_eval(node.value)
    for node in tree.body
    if isinstance(node, ast.Assign)
    and isinstance(node.targets[0], ast.Name)
    and node.targets[0].id == '__version__'
  ]
  assert versions == [_setup_arguments()['version']]
