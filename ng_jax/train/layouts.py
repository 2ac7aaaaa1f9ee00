# SPDX-License-Identifier: Apache-2.0
"""How rows of a zoo become batches: on the device, or laid out on the host."""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import Any, Protocol

import jax
import numpy as np

from ng_jax import graphs
from ng_jax import processes
from ng_jax.train import devices as devices_lib
from ng_jax.train import mixed_batches
from ng_jax.train import sampler as sampler_lib


class Layout(Protocol):
  """What a run asks; see `mixed_batches` for the other two.

  Attributes:
    microbatch_size: rows of a batch's data that are worked on at once.
  """

  @property
  def microbatch_size(self) -> int:
    """Rows of a batch's data that are worked on at once."""

  def batch(self, rows: np.ndarray) -> mixed_batches.Batch:
    """Lays out rows; negative ones are left out."""

  def batches_in_order(
    self, rows: np.ndarray, batch_size: int
  ) -> Iterator[np.ndarray]:
    """Cuts rows into batches for evaluation."""

  def sampler(self, rows: np.ndarray, *, batch_size: int, seed: int) -> Any:
    """Shuffled epochs over neighbouring rows."""


@dataclasses.dataclass(frozen=True)
class OnDevice:
  """Rows of arrays that lie on the devices.

  Attributes:
    data: tree of arrays [num_rows, ...].
    microbatch_size: rows that are worked on at once; 0 for all.
    multiple_of: what the number of rows of a batch must divide by.
  """

  data: Any
  microbatch_size: int
  multiple_of: int

  @classmethod
  def place(
    cls, data: Any, devices: Sequence[jax.Device], *, microbatch_size: int
  ) -> 'OnDevice':
    """Puts arrays on the devices. Jit: no."""
    num_devices = len(devices) * processes.share().count
    multiple = num_devices * max(microbatch_size, 1)
    return cls(devices_lib.replicate(data, devices), microbatch_size, multiple)

  def batch(self, rows: np.ndarray) -> mixed_batches.Batch:
    """Fills up with -1. Jit: no."""
    rows = rows[rows >= 0]
    size = -(-len(rows) // self.multiple_of) * self.multiple_of
    index = np.full(size, sampler_lib.PADDING, np.int32)
    index[: len(rows)] = rows
    return mixed_batches.Batch(self.data, index, np.arange(len(rows)))

  def batches_in_order(
    self, rows: np.ndarray, batch_size: int
  ) -> Iterator[np.ndarray]:
    """Cuts rows into batches for evaluation. Jit: no."""
    return mixed_batches.cut(rows, batch_size)

  def sampler(
    self, rows: np.ndarray, *, batch_size: int, seed: int
  ) -> sampler_lib.IndexSampler:
    """Shuffled epochs over neighbouring rows. Jit: no."""
    return mixed_batches.index_sampler(rows, batch_size, seed)


def choose_mixed(
  networks: Sequence[mixed_batches.Network],
  targets: np.ndarray,
  *,
  name: str,
  batch_size: int,
  part_size: int,
  num_buckets: int,
  multiple_of: int,
) -> mixed_batches.Concatenated | mixed_batches.Stacked:
  """Chooses the layout of a model, its sizes from the data set.

  Args:
    networks: (topology, weights) of every row.
    targets: [num_rows] float32, or int32 for classes.
    name: of the model; 'ng_t' gets padded graphs, others one list of edges.
    batch_size: graphs of an optimizer step.
    part_size: graphs that are worked on at once.
    num_buckets: at most so many sizes of padded graphs.
    multiple_of: number of devices, those of all processes.

  Returns:
    The layout. Jit: no.
  """
  num_parts = -(-batch_size // part_size)
  if name == 'ng_t':
    sizes = [topology.num_nodes for topology, _ in networks]
    return mixed_batches.Stacked(
      networks,
      targets,
      graphs.choose_buckets(sizes, num_buckets),
      part_size,
      -(-num_parts // multiple_of) * multiple_of,
      share=processes.share(),
    )
  budget = graphs.choose_budget([t for t, _ in networks], part_size)
  return mixed_batches.Concatenated(
    networks,
    targets,
    budget,
    num_parts,
    multiple_of,
    share=processes.share(),
  )
