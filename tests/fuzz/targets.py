# SPDX-License-Identifier: Apache-2.0
"""Every reader of files, by name; see `target.Target`."""

from tests.fuzz import array_targets
from tests.fuzz import model_targets
from tests.fuzz import set_targets
from tests.fuzz import target
from tests.fuzz import torch_targets

# A tenth of a millisecond an input.
TARGETS: dict[str, target.Make] = {
  **array_targets.TARGETS,
  **set_targets.TARGETS,
  **torch_targets.TARGETS,
  **model_targets.TARGETS,
}
# A millisecond (a whole zoo) to a tenth of a second (a model, a store).
WHOLE: dict[str, target.Make] = {**set_targets.WHOLE, **model_targets.WHOLE}
