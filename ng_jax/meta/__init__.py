# SPDX-License-Identifier: Apache-2.0
"""Learning the optimizers: problems, unrolls, estimators, outer updates."""
