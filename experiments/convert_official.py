# SPDX-License-Identifier: Apache-2.0
"""Converts a checkpoint of the official PyTorch code into a saved model.

python experiments/convert_official.py --config=config.json \
  --state=state.safetensors --out_dir=models/mnist_ng_t

The config is JSON: 'model', the resolved Hydra node, and 'layer_layout', the
neurons per layer. The state is a .safetensors, .npz or .pt file; .pt needs
torch and is read with weights_only=True. ng_jax.load_pretrained reads the
result.
"""

from absl import app
from absl import flags

from ng_jax import pretrained

_CONFIG = flags.DEFINE_string('config', None, 'JSON file of the config.')
_STATE = flags.DEFINE_string('state', None, 'File of the state_dict.')
_OUT_DIR = flags.DEFINE_string('out_dir', None, 'Folder to write.')


def main(argv: list[str]) -> None:
  """Converts, and says what was written or what is wrong."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  try:
    folder = pretrained.convert_official(
      _CONFIG.value, _STATE.value, _OUT_DIR.value
    )
  except ValueError as error:
    raise SystemExit(f'not converted: {error}') from error
  print(f'converted: {folder}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'state', 'out_dir'])
  app.run(main)
