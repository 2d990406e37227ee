"""Training in several processes under ``torchrun``, with plain torch.distributed; no effect with a single process.

Every process holds the whole model and a share of each batch. Every gradient is averaged over the processes, so that
all of them make the same steps as one process would with the whole batch.

All processes must make the same calls in the same order, because each of these functions waits for the others.
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
    """Rank of this process, from 0; 0 if there is only one."""
    return dist.get_rank() if _in_process_group() else 0


def world_size() -> int:
    """Number of processes in the process group: 1 before it is initialised and after it is destroyed."""
    return dist.get_world_size() if _in_process_group() else 1


def launched() -> bool:
    """Whether ``torchrun`` started this process together with others."""
    return launch().world > 1


def is_first() -> bool:
    """Whether this process writes files and prints output; also defined outside the process group."""
    if _in_process_group():
        return rank() == 0
    return launch().rank == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Joins the process group for the duration of a ``with`` block; has no effect without ``torchrun``.

    After an error the group is not destroyed: otherwise the other processes would report a lost connection before
    this process has reported the cause. ``torchrun`` ends them as soon as this process has ended.

    Args:
        device: Device on which to train; every process uses the GPU of its local rank.

    Yields:
        The device of this process.

    Raises:
        UsageError: There are fewer GPUs than processes, the device is neither a CUDA GPU nor the CPU, or the
            environment does not define the rendezvous address.
        RunError: The other processes cannot be reached.
    """
    if not launched() or _in_process_group():
        yield device
        return
    if device.type == "cuda":
        device = _local_gpu()
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise UsageError(f"several processes cannot train on device {device.type!r}", hint="try --device cpu")
    check_rendezvous()
    with _connection_errors():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield device
    dist.destroy_process_group()


def mean_over_ranks(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The mean of each tensor over all processes, differentiable: gradients are averaged over them too.

    All tensors are concatenated, so that there is a single exchange.
    """
    if world_size() == 1 or not tensors:
        return list(tensors)
    return _parts(_mean(_flat(tensors)), tensors)


def mean_gradients(gradients: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """The mean of each parameter's gradient over all processes; None counts as zero, and is kept if all have None.

    An optimiser skips parameters without a gradient, so whether there is one must be the same in all processes.

    Args:
        gradients: This process's gradients.
        weights: The parameters to which they belong.
    """
    if world_size() == 1:
        return list(gradients)
    filled = [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, weights, strict=True)]
    used = filled[0].new_tensor([gradient is not None for gradient in gradients])
    *means, used_by = mean_over_ranks([*filled, used])  # the flags are exchanged together with the gradients
    return [m.to(w.dtype) if u > 0 else None for m, w, u in zip(means, weights, used_by.tolist(), strict=True)]


def mean_numbers(numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each named number over all processes, which must have the same names."""
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
    """Copies the values of tensors from the first process to all others, with one exchange per dtype."""
    if world_size() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor.detach())
    for group in by_dtype.values():
        flat = _flat(group)
        with _connection_errors():
            dist.broadcast(flat, src=0)
        for tensor, value in zip(group, _parts(flat, group), strict=True):
            tensor.copy_(value)


def gather(item: Item) -> list[Item]:
    """The items of all processes, plain data, by rank."""
    if world_size() == 1:
        return [item]
    items = [item] * world_size()
    with _connection_errors():
        dist.all_gather_object(items, item)
    return items


def wait_for_all() -> None:
    """Waits until every process has reached this call."""
    if world_size() > 1:
        with _connection_errors():
            dist.barrier()


def _in_process_group() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _local_gpu() -> torch.device:
    """The GPU of this process; if there are too few, all processes of a machine raise the same error."""
    available, needed = torch.cuda.device_count(), launch().local_world
    if available < needed:
        raise UsageError(
            f"{needed} processes on this machine need one GPU each, but only {available} are available",
            hint=f"start fewer processes (--nproc-per-node {available}), or train on the CPU with --device cpu",
        )
    return torch.device("cuda", launch().local_rank)


class _MeanOverRanks(torch.autograd.Function):
    """Mean over all processes, in both directions."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        with _connection_errors():
            dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        # The mean of the processes' losses is minimised. Each process passes back the gradient of its own loss here,
        # and the results are averaged again at the end: the sum over processes, divided by their number.
        return _mean(gradient)


def _mean(tensor: Tensor) -> Tensor:
    mean: Tensor = _MeanOverRanks.apply(tensor)
    return mean


def _largest(values: Sequence[float], device: torch.device) -> list[float]:
    """The maximum of each value over all processes."""
    maxima = torch.tensor(values, dtype=torch.float64, device=device)
    with _connection_errors():
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX)
    largest: list[float] = maxima.tolist()
    return largest


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Inverse of `_flat`."""
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


@contextmanager
def _connection_errors() -> Iterator[None]:
    """Replaces errors of a lost connection by a `RunError` with a clear message."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(
            f"process {launch().rank} lost the connection to the others: {str(error).partition(chr(10))[0]}",
            hint="the process that ended first reports the cause; --resume continues from the last checkpoint",
        ) from error
