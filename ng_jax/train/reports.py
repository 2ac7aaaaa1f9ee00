# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for people: pictures, predictions, a summary."""

from collections.abc import Callable, Sequence
import csv
import pathlib
from typing import Any

from absl import logging
import jax
import numpy as np

from ng_jax import plots
from ng_jax.data import inr
from ng_jax.train import evaluate
from ng_jax.train import logging as logging_lib

FOLDER = 'pictures'


def draw(
  workdir: pathlib.Path,
  writer: logging_lib.Writer,
  *,
  step: int,
  figures: dict[str, Callable[[], Any]],
) -> list[pathlib.Path]:
  """Draws figures into <workdir>/pictures, or says why it does not.

  Args:
    workdir: of the run.
    writer: also gets the pictures.
    step: that they belong to.
    figures: {name: makes the figure}, see `ng_jax.plots`.

  Returns:
    Files written; none without matplotlib.
  """
  paths = []
  images = {}
  for name, make in figures.items():
    try:
      figure = make()
    except ImportError:
      logging.warning(
        'matplotlib is not installed, so no pictures are drawn; '
        "pip install 'ng_jax[demo]' brings it."
      )
      return []
    paths.append(workdir / FOLDER / f'{name}.png')
    plots.save(figure, paths[-1])
    images[name] = plots.to_array(figure)
  writer.images(step, images)
  return paths


def write_predictions(
  path: pathlib.Path,
  found: evaluate.Evaluation,
  *,
  labels: np.ndarray,
  image_index: np.ndarray,
  class_names: Sequence[str],
) -> None:
  """Writes one line of CSV per example.

  Args:
    path: of the file.
    found: predictions on the split.
    labels: [num_examples] int.
    image_index: [num_examples] int, number of the image in the source.
    class_names: of the classes.
  """
  rows = zip(
    image_index, labels, found.predictions, found.confidences, strict=True
  )
  write_table(
    path,
    ('example', 'image', 'label', 'prediction', 'confidence'),
    [
      (number, image, class_names[label], class_names[guess], f'{sure:.4f}')
      for number, (image, label, guess, sure) in enumerate(rows)
    ],
  )


def write_table(
  path: pathlib.Path,
  columns: Sequence[str],
  rows: Sequence[Sequence[Any]],
) -> None:
  """Writes a CSV file, under a temporary name first.

  Args:
    path: of the file.
    columns: names, the first line.
    rows: one value a column each.
  """
  temporary = path.with_name(f'.part-{path.name}')
  with temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
  temporary.replace(path)


def inr_renderings(
  dataset: inr.InrDataset, *, split: str, num_images: int, title: str
) -> Any:
  """Draws images of different classes beside what their INRs represent.

  Args:
    dataset: of INRs.
    split: name of the split to show.
    num_images: at most so many are shown.
    title: above the figure.

  Returns:
    A matplotlib Figure, with the PSNR of each INR above its image. Jit: no.

  Raises:
    ValueError: a data set without images.
  """
  part = dataset.split(split)
  if part.images is None or part.psnr is None:
    raise ValueError(
      f'the {split} split of {dataset.path} has no images to draw; read it '
      'with image_dir.'
    )
  psnr = part.psnr
  rows = spread(part.labels, num_images)
  images = part.images[rows].astype(np.float32) / dataset.max_value
  weights = jax.tree.map(lambda leaf: leaf[rows], part.weights)
  rendered = dataset.network.render_pixels(weights, images.shape[1:3])
  return plots.renderings(
    images,
    np.asarray(rendered),
    titles=[
      f'{dataset.class_names[part.labels[row]]}, {psnr[row]:.0f} dB'
      for row in rows
    ],
    title=title,
  )


def spread(labels: np.ndarray, number: int) -> np.ndarray:
  """Rows of different labels, then further ones, in the order of the split.

  Args:
    labels: [num_examples] int.
    number: at most so many rows.

  Returns:
    [at most number] int. Jit: no.
  """
  _, first = np.unique(labels, return_index=True)
  others = np.setdiff1d(np.arange(labels.size), first)
  return np.concatenate([first, others])[:number]
