# SPDX-License-Identifier: Apache-2.0
"""Models to compare with, called as NG-GNN and NG-T are."""
