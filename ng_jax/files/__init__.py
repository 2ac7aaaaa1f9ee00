# SPDX-License-Identifier: Apache-2.0
"""Reading files that nobody vouches for: no code is run, memory is bounded.

A reader takes at most eight times the size of its file plus 64 MiB. What would
take more (an archive that unpacks to a thousand times its size, a JSON of
nothing but brackets) is refused before it is unpacked.
"""
