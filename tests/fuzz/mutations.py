# SPDX-License-Identifier: Apache-2.0
"""Damages valid files in the ways that files are damaged, and worse.

`mutate(rng, content, tokens)` changes bytes; `mutate_json` changes values of a
JSON tree. `check(read, inputs)` says what a reader may do with them.
"""

import json

_BYTES = (b'\x00', b'\xff', b'\x7f', b'\x80', b'PK', b'\n', b'"', b'[' * 50)
_VALUES = (
  *(None, True, False, 0, -1, 1, 3, 2**31, 2**70, 0.5, 1e300, float('nan')),
  *('', 'x', '../../etc/passwd', '/etc/passwd', '\0', 'a' * 300, 'relu'),
  *([], {}, [[]], [0], {'__type__': 'networks.Siren'}, {'a': 1}),
)


def mutate(rng, content, tokens=()):
  """A few random changes of bytes.

  Args:
    rng: `random.Random`.
    content: bytes of a valid file.
    tokens: what is put in besides, such as b'../'.

  Returns:
    Other bytes.
  """
  content = bytearray(content)
  for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
    place = rng.randrange(len(content) + 1)
    length = min(rng.choice((1, 2, 4, 8, 64)), len(content) - place)
    kind = rng.randrange(7)
    if kind == 0 and length:
      content[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
      content[place : place + length] = rng.randbytes(length)
    elif kind == 2:
      del content[place : place + length]
    elif kind == 3:
      content[place:place] = content[place : place + length] * rng.randrange(4)
    elif kind == 4:
      del content[place:]
    elif kind == 5:
      size = rng.choice((1, 2, 4, 8))
      number = rng.choice((0, 1, 255, 2**16, 2**31 - 1, 2**32, 2**63)) % 2 ** (
        8 * size
      )
      order = rng.choice(('little', 'big'))
      content[place : place + size] = number.to_bytes(size, order)
    else:
      token = rng.choice((*_BYTES, *tokens))
      content[place : place + rng.choice((0, len(token)))] = token
  return bytes(content)


def mutate_json(rng, content, tokens=()):
  """Replaces, drops, doubles or renames values of a JSON text."""
  tree = json.loads(content)
  for _ in range(rng.choice((1, 1, 2, 4))):
    places = list(_places(tree))
    if not places:
      break
    node, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0:
      del node[key]
    elif kind == 1 and isinstance(node, list):
      node.insert(key, node[key])
    elif kind == 2 and isinstance(node, dict):
      node[rng.choice(('x', '', *map(str, tokens)))] = node.pop(key)
    elif kind == 3 and isinstance(node[key], int | float):
      node[key] = rng.choice((-node[key], 10**9, node[key] + 1, str(node[key])))
    else:
      # A copy: the values themselves stay as they are.
      node[key] = json.loads(json.dumps(rng.choice(_VALUES)))
  return json.dumps(tree).encode()


def _places(node):
  if isinstance(node, dict | list):
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
      yield node, key
      yield from _places(node[key])
