# SPDX-License-Identifier: Apache-2.0
"""Images, and the data sets of networks that are made from them."""
