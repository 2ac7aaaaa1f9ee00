# SPDX-License-Identifier: Apache-2.0
"""Models that NG-GNN and NG-T are compared with."""
