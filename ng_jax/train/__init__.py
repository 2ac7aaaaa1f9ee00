# SPDX-License-Identifier: Apache-2.0
"""Training: optimizers, steps, evaluation, checkpoints and whole runs."""
