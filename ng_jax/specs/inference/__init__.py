# SPDX-License-Identifier: Apache-2.0
"""Reads a user's own network: from its code to its spec.

The network is traced to a `program` of primitive operations. `reading` follows
its neurons through them: every array axis is a product of atoms (`axes`), every
array is a constant, a parameter, a statistic or the values of a layer
(`values`), and each operation has a rule (`elementwise`, `shapes`, `places`,
`layers`, `attention`). What they find is noted in a `draft`, from which
`assembly` makes the spec.
"""

from ng_jax.specs.inference.inferring import infer

__all__ = ('infer',)
