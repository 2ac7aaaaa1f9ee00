# SPDX-License-Identifier: Apache-2.0
"""TFDS builders that need no TensorFlow, one module each."""
