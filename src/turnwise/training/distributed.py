"""Several processes: who writes, and the one collective that ReSURE needs (every rank sees the rows of all ranks)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def is_main_process() -> bool:
    """Whether this process owns the run folder: the only one, or rank 0 of `torchrun` or `accelerate launch`.

    Read from the environment, so that it can be asked before torch is loaded and a process group exists.
    """
    return int(os.environ.get("RANK", "0")) == 0


def gather_rows(rows_UC: torch.Tensor) -> tuple[NDArray[np.float64], slice]:
    """Collect a ragged table from all ranks, in rank order.

    Legend: `U` rows of this rank (ranks may differ, also 0), `C` columns.

    Args:
        rows_UC: (U, C) float64 on the device that the process group works on.

    Returns:
        The table of all ranks as a NumPy array, and the slice of it that is this rank's. Without an initialised
        process group that is the input itself.
    """
    import torch
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return rows_UC.cpu().numpy(), slice(0, len(rows_UC))
    world, rank = distributed.get_world_size(), distributed.get_rank()
    sizes = torch.zeros(world, dtype=torch.int64, device=rows_UC.device)
    sizes[rank] = len(rows_UC)
    distributed.all_reduce(sizes)
    counts = sizes.tolist()
    padded = rows_UC.new_zeros(max(counts), rows_UC.shape[1])
    padded[: len(rows_UC)] = rows_UC
    gathered = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(gathered, padded)
    table = torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])
    start = sum(counts[:rank])
    return table.cpu().numpy(), slice(start, start + counts[rank])
