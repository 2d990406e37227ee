"""Training in several processes under ``torchrun``: plain torch.distributed, and nothing where there is one process.

Every process holds the whole model and a share of each batch. Gradients are averaged over the processes
whenever one is taken, so that all of them make the same steps as one process would with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from fusekit.errors import UsageError


def rank() -> int:
    """Number of this process, from 0; 0 where there is only one."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if _several() else 1


def is_first() -> bool:
    """Whether this process writes files and speaks."""
    return rank() == 0


def launched() -> bool:
    """Whether ``torchrun`` started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Joins the other processes for the duration of a ``with`` block; nothing without ``torchrun``.

    Args:
        device: Where to train; every process takes the GPU of its local rank.

    Yields:
        The device of this process.
    """
    if not launched() or _several():
        yield device
        return
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"process {local} of this machine has no GPU of its own: there are {torch.cuda.device_count()}",
                hint="start as many processes as there are GPUs (--nproc-per-node), or add --device cpu",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def mean_over_ranks(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The mean of each tensor over all processes, differentiable: what flows back is a mean over them too.

    All tensors travel as one, so that no process can wait for another in a different order.
    """
    if world_size() == 1 or not tensors:
        return list(tensors)
    flat = _mean(torch.cat([tensor.reshape(-1) for tensor in tensors]))
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process, so that all of them stop together."""
    if world_size() == 1:
        return flag
    found = torch.tensor(float(flag), device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found > 0)


def wait_for_all() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        dist.barrier()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _MeanOverRanks(torch.autograd.Function):
    """Mean over all processes, in both directions."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        # Σ over the processes of their losses' gradients, over their number: as for one loss, the mean of all.
        return _mean(gradient)


def _mean(tensor: Tensor) -> Tensor:
    mean: Tensor = _MeanOverRanks.apply(tensor)
    return mean
