# SPDX-License-Identifier: Apache-2.0
"""Images by name: what INR data sets are made from.

`read('digits')` needs nothing but scikit-learn; `read('mnist', image_dir=...)`
reads the publishers' own files; `read('tfds:<name>', image_dir=...)` reads any
TFDS data set that has been prepared with array_record. Nothing is downloaded
and TensorFlow is not needed.
"""

from collections.abc import Callable
import dataclasses
import hashlib

import numpy as np

from ng_jax.data import cifar
from ng_jax.data import idx
from ng_jax.data import image_folders

_DIGITS = tuple(str(i) for i in range(10))
_FASHION = (
  *('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'),
  *('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'),
)
_CIFAR = (
  *('airplane', 'automobile', 'bird', 'cat', 'deer'),
  *('dog', 'frog', 'horse', 'ship', 'truck'),
)
CLASS_NAMES = {'cifar10': _CIFAR, 'fashion_mnist': _FASHION, 'mnist': _DIGITS}
# Share of the digits that is kept for testing; they have no published split.
_DIGITS_TEST_FRACTION = 0.2


@dataclasses.dataclass(frozen=True)
class Images:
  """The images of one split of one source.

  Attributes:
    pixels: [num_images, rows, columns, channels] uint8, 0 to `max_value`.
    labels: [num_images] int32.
    index: [num_images] int32, number of each image in the publisher's split.
    name: of the source.
    split: 'train' or 'test'.
    class_names: of the labels.
    max_value: what is white; 255, for the digits 16. Networks are fitted to
      pixels / max_value, see `scale`.
    note: what is missing from the published set, or nothing.
  """

  pixels: np.ndarray
  labels: np.ndarray
  index: np.ndarray
  name: str
  split: str
  class_names: tuple[str, ...]
  max_value: int = 255
  note: str = ''

  def __post_init__(self) -> None:
    if len(self.pixels) != len(self.labels):
      raise ValueError(
        f'the {self.split} split of {self.name!r} must have one label an '
        f'image, got {len(self.pixels):,} images and {len(self.labels):,} '
        'labels; check that the files belong together and fetch them again.'
      )

  def fingerprint(self) -> str:
    """SHA-256 of shape, pixels and labels, in hexadecimal. Jit: no."""
    digest = hashlib.sha256(repr(self.pixels.shape).encode())
    digest.update(np.ascontiguousarray(self.pixels).tobytes())
    digest.update(self.labels.astype('<i4').tobytes())
    return digest.hexdigest()


Splits = dict[str, Images]  # {'train', 'test'}


def sources() -> tuple[str, ...]:
  """Names that `read` knows, 'tfds:<name>' aside. Jit: static."""
  return tuple(sorted(_READERS))


def scale(pixels: np.ndarray, max_value: int) -> np.ndarray:
  """Pixels as networks are fitted to them.

  Args:
    pixels: any shape, uint8.
    max_value: of the images, what is white.

  Returns:
    pixels / max_value, float32 in [0, 1]. Jit: no.
  """
  return pixels.astype(np.float32) / np.float32(max_value)


def read(
  source: str, *, image_dir: str | None = None, split_seed: int = 0
) -> Splits:
  """Reads the images of a source.

  Args:
    source: one of `sources()`, or 'tfds:<name>' for a prepared TFDS data set,
      for example 'tfds:mnist' or 'tfds:mnist:3.0.1'.
    image_dir: folder of the publishers' files, or of one folder a source, see
      `image_folders.find`; TFDS's data_dir; not needed for 'digits'.
    split_seed: for the digits, which have no published split: a stratified
      fifth of them, drawn with this seed, is the test split.

  Returns:
    {'train': images, 'test': images}. Jit: no.

  Raises:
    ValueError: unknown source; files that are missing, damaged or do not
      belong together.
    ImportError: 'digits' without scikit-learn.
  """
  if source.startswith('tfds:'):
    from ng_jax.data import prepared

    return prepared.read(source, image_dir=image_dir)
  if source not in _READERS:
    raise ValueError(
      f'unknown image source {source!r}; expected one of {list(sources())} or '
      "'tfds:<name>'."
    )
  return _READERS[source](source, image_dir, split_seed)


def _read_digits(source: str, image_dir: str | None, split_seed: int) -> Splits:
  """The 1,797 digits of 8 x 8 pixels, 0 to 16, that scikit-learn ships."""
  try:
    from sklearn import datasets
  except ImportError as error:
    raise ImportError(
      "the source 'digits' is read from scikit-learn, which is not installed; "
      "install it with pip install 'ng_jax[demo]', or use another source."
    ) from error
  digits = datasets.load_digits()
  labels = digits.target.astype(np.int32)
  pixels = digits.images.astype(np.uint8)[..., None]
  generator = np.random.default_rng(split_seed)
  test = []
  for label in range(10):
    members = generator.permutation(np.flatnonzero(labels == label))
    test.append(members[: round(_DIGITS_TEST_FRACTION * len(members))])
  is_test = np.isin(np.arange(len(labels)), np.concatenate(test))
  found = {}
  for split, mask in (('train', ~is_test), ('test', is_test)):
    index = np.flatnonzero(mask).astype(np.int32)
    found[split] = Images(
      pixels[index], labels[index], index, source, split, _DIGITS, max_value=16
    )
  return found


def _read_idx(
  class_names: tuple[str, ...],
) -> Callable[[str, str | None, int], Splits]:
  """Makes the reader of a folder with the four files of MNIST."""

  def read_folder(
    source: str, image_dir: str | None, split_seed: int
  ) -> Splits:
    expected = [
      f'{split}-{what}-ubyte'
      for split in ('train', 't10k')
      for what in ('images-idx3', 'labels-idx1')
    ]
    files = image_folders.find(source, image_dir, expected, ('', '.gz'))
    found = {}
    for split, prefix, size in (
      ('train', 'train', 60_000),
      ('test', 't10k', 10_000),
    ):
      pixels = idx.read(files[f'{prefix}-images-idx3-ubyte'], num_axes=3)
      labels = idx.read(files[f'{prefix}-labels-idx1-ubyte'], num_axes=1)
      found[split] = _whole_split(
        pixels[..., None], labels, source, split, class_names, size
      )
    return found

  return read_folder


def _read_cifar(source: str, image_dir: str | None, split_seed: int) -> Splits:
  """CIFAR-10, binary or Python version, whichever the folder holds."""
  names = [*(f'data_batch_{k}' for k in range(1, 6)), 'test_batch']
  files = image_folders.find(source, image_dir, names, ('.bin', ''))
  parts = {
    name: (
      cifar.read_binary(path)
      if path.suffix == '.bin'
      else cifar.read_python(path)
    )
    for name, path in files.items()
  }
  short = ', '.join(
    f'{files[name].name} {len(labels):,}'
    for name, (_, labels) in parts.items()
    if len(labels) != 10_000
  )
  note = f'records in the files, of 10,000 published: {short}' if short else ''
  found = {}
  for split, members in (('train', names[:5]), ('test', names[5:])):
    pixels = np.concatenate([parts[name][0] for name in members])
    labels = np.concatenate([parts[name][1] for name in members])
    index = np.concatenate(
      [10_000 * i + np.arange(len(parts[n][1])) for i, n in enumerate(members)]
    )
    found[split] = Images(
      pixels,
      labels,
      index.astype(np.int32),
      source,
      split,
      _CIFAR,
      note=note,
    )
  return found


_READERS: dict[str, Callable[[str, str | None, int], Splits]] = {
  'digits': _read_digits,
  'mnist': _read_idx(_DIGITS),
  'fashion_mnist': _read_idx(_FASHION),
  'cifar10': _read_cifar,
}


def _whole_split(
  pixels: np.ndarray,
  labels: np.ndarray,
  source: str,
  split: str,
  class_names: tuple[str, ...],
  published_size: int,
) -> Images:
  """Images in the order of their file, with a note when some are missing."""
  note = ''
  if len(pixels) != published_size:
    note = f'{split}: {len(pixels):,} images, of {published_size:,} published'
  if labels.size and labels.max() >= len(class_names):
    raise ValueError(
      f'the {split} labels of {source!r} must be below {len(class_names)}, got '
      f'{labels.max()}; check that the files belong to this source.'
    )
  return Images(
    pixels,
    labels.astype(np.int32),
    np.arange(len(pixels), dtype=np.int32),
    source,
    split,
    class_names,
    note=note,
  )
