"""Training in several processes under ``torchrun``: plain torch.distributed, and nothing where there is one process.

Every process holds the whole model and a share of each batch. Gradients are averaged over the processes
whenever one is taken, so that all of them make the same steps as one process would with the whole batch.

All processes must do the same things in the same order, for each of these functions waits for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fusekit.errors import RunError, UsageError
from fusekit.launch import check_rendezvous, launch

Item = TypeVar("Item")


def rank() -> int:
    """Number of this process, from 0; 0 where there is only one."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """Number of processes that train together, by now: 1 before they have joined and after they have parted."""
    return dist.get_world_size() if _several() else 1


def launched() -> bool:
    """Whether ``torchrun`` started this process beside others."""
    return launch().world > 1


def is_first() -> bool:
    """Whether this process writes files and speaks; known before the processes join, and after they part."""
    if _several():
        return rank() == 0
    return launch().rank == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Joins the other processes for the duration of a ``with`` block; nothing without ``torchrun``.

    An error leaves the group as it is: were it taken apart, the others would complain about a lost connection
    before this process has said what the matter is. ``torchrun`` ends them as soon as this process has ended.

    Args:
        device: Where to train; every process takes the GPU of its local rank.

    Yields:
        The device of this process.

    Raises:
        UsageError: There are fewer GPUs than processes, the device is neither a CUDA GPU nor the CPU, or the
            environment does not say where the processes meet.
        RunError: The others are not there.
    """
    if not launched() or _several():
        yield device
        return
    if device.type == "cuda":
        device = _own_gpu()
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise UsageError(f"several processes cannot train on device {device.type!r}", hint="try --device cpu")
    check_rendezvous()
    with _contact():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield device
    dist.destroy_process_group()


def mean_over_ranks(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The mean of each tensor over all processes, differentiable: what flows back is a mean over them too.

    All tensors travel as one, so there is one exchange, whatever their number.
    """
    if world_size() == 1 or not tensors:
        return list(tensors)
    return _parts(_mean(_flat(tensors)), tensors)


def mean_gradients(gradients: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """The mean of each weight's gradient over all processes; None counts as zero, and stays where all have None.

    An optimiser leaves weights without a gradient alone, so whether there is one must be the same everywhere.

    Args:
        gradients: This process's gradients.
        weights: What they belong to.
    """
    if world_size() == 1:
        return list(gradients)
    filled = [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, weights, strict=True)]
    used = filled[0].new_tensor([gradient is not None for gradient in gradients])
    *means, used_by = mean_over_ranks([*filled, used])  # whether it is used travels with the gradients
    return [m.to(w.dtype) if u > 0 else None for m, w, u in zip(means, weights, used_by.tolist(), strict=True)]


def mean_numbers(numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each named number over all processes, which must name the same ones."""
    if world_size() == 1 or not numbers:
        return dict(numbers)
    names = sorted(numbers)
    values = torch.tensor([numbers[name] for name in names], dtype=torch.float64, device=device)
    means = dict(zip(names, _mean(values).tolist(), strict=True))
    return {name: means[name] for name in numbers}


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process, so that all of them stop together."""
    if world_size() == 1:
        return flag
    return _largest([float(flag)], device)[0] > 0


def agreed(number: int, device: torch.device) -> bool:
    """Whether a number is the same in all processes."""
    if world_size() == 1:
        return True
    largest, smallest = _largest([number, -number], device)
    return largest == -smallest


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Gives tensors the values that they have in the first process; one exchange for each type of number."""
    if world_size() == 1:
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor.detach())
    for alike in by_type.values():
        flat = _flat(alike)
        with _contact():
            dist.broadcast(flat, src=0)
        for tensor, value in zip(alike, _parts(flat, alike), strict=True):
            tensor.copy_(value)


def gather(item: Item) -> list[Item]:
    """What every process has to say, plain data, by rank."""
    if world_size() == 1:
        return [item]
    said = [item] * world_size()
    with _contact():
        dist.all_gather_object(said, item)
    return said


def wait_for_all() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        with _contact():
            dist.barrier()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _own_gpu() -> torch.device:
    """The GPU of this process; all processes of a machine complain alike where there are too few."""
    there, wanted = torch.cuda.device_count(), launch().local_world
    if there < wanted:
        raise UsageError(
            f"{wanted} processes of this machine want a GPU each, and there are {there}",
            hint=f"start fewer (--nproc-per-node {there}), or train on the CPU with --device cpu",
        )
    return torch.device("cuda", launch().local_rank)


class _MeanOverRanks(torch.autograd.Function):
    """Mean over all processes, in both directions."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        with _contact():
            dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        # What is minimised is the mean of the processes' losses. Each sends back its own loss's gradient here, and
        # the outcome of all of them is averaged once more in the end: Σ over processes, divided by their number.
        return _mean(gradient)


def _mean(tensor: Tensor) -> Tensor:
    mean: Tensor = _MeanOverRanks.apply(tensor)
    return mean


def _largest(values: Sequence[float], device: torch.device) -> list[float]:
    """The largest of each value over all processes."""
    found = torch.tensor(values, dtype=torch.float64, device=device)
    with _contact():
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
    largest: list[float] = found.tolist()
    return largest


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """`_flat` undone."""
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


@contextmanager
def _contact() -> Iterator[None]:
    """Says in plain words that the other processes are gone."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(
            f"process {launch().rank} lost contact with the others: {str(error).partition(chr(10))[0]}",
            hint="the process that ended first says why; --resume continues from the last checkpoint",
        ) from error
