# SPDX-License-Identifier: Apache-2.0
"""Damages valid files in the ways that files are damaged, and worse.

`mutate(rng, content, tokens)` changes bytes; `mutate_json` changes values of a
JSON tree.
"""

import json

_BYTES = (b'\x00', b'\xff', b'\x7f', b'\x80', b'PK', b'\n', b'"', b'[' * 50)
_VALUES = (
  *(None, True, False, 0, -1, 1, 3, 2**31, 2**70, 0.5, 1e300, float('nan')),
  *('', 'x', '../../etc/passwd', '/etc/passwd', '\0', 'a' * 300, 'relu'),
  *('9' * 5000, '\ud800', 10**400, float('inf'), -(2**40)),
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
  """Replaces, drops, doubles or renames values of a JSON text.

  Args:
    rng: `random.Random`.
    content: bytes of a valid file.
    tokens: texts that are put in besides, such as b'../'.

  Returns:
    Other bytes, a JSON text too.
  """
  tree = [json.loads(content)]  # So that the whole can be replaced as well.
  values = (*_VALUES, *(token.decode('latin1') for token in tokens))
  for _ in range(rng.choice((1, 1, 2, 4))):
    node, key = _walk(rng, tree)
    kind = rng.randrange(5)
    if kind == 0 and node is not tree:
      del node[key]
    elif kind == 1 and isinstance(node, list):
      node.insert(key, node[key])
    elif kind == 2 and isinstance(node, dict):
      node[rng.choice(('x', '', 'a/b'))] = node.pop(key)
    elif kind == 3 and isinstance(node[key], int | float):
      node[key] = rng.choice((-node[key], 10**9, node[key] + 1, str(node[key])))
    else:
      # A copy: the values themselves stay as they are.
      node[key] = json.loads(json.dumps(rng.choice(values)))
  return json.dumps(tree[0]).encode()


def _walk(rng, node):
  """A container and a place in it, on the way to a leaf."""
  while True:
    key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    inner = node[key]
    if not isinstance(inner, dict | list) or not inner or rng.random() < 0.1:
      return node, key
    node = inner
