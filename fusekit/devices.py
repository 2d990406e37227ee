"""Device selection: from a name such as ``auto`` to a torch device."""

from __future__ import annotations

import torch

from fusekit.errors import UsageError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` selects CUDA if available, else MPS, else the CPU.

    Raises:
        UsageError: This machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used: {first_line}", hint="try --device auto") from error
    return device


def generators_of(device: torch.device) -> list[int]:
    """Indices of the GPUs whose random state `torch.random.fork_rng` must save, besides the CPU's, for a device."""
    return [device.index or 0] if device.type == "cuda" else []
