"""Rank and world size of this process, from the environment that ``torchrun`` sets. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fusekit.errors import UsageError

_HINT = "torchrun sets these variables together; for a single process: env -u RANK -u WORLD_SIZE fusekit …"


@dataclass(frozen=True)
class Launch:
    """Rank of this process among the processes that were started together.

    Attributes:
        rank: Number of this process, from 0.
        world: Number of processes; 1 without a launcher.
        local_rank: Number of this process among those of this machine.
        local_world: Number of processes on this machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


def launch() -> Launch:
    """Reads the launcher's environment: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE; empty counts as not set.

    Raises:
        UsageError: A variable is not a number, or the variables contradict each other: with such values, images
            would be left out, or the process would wait for processes that do not exist.
    """
    world = _number("WORLD_SIZE", least=1)
    rank = _number("RANK")
    if world is None and rank in (None, 0):
        return Launch()
    if world is None:
        raise UsageError(f"RANK is {rank} and WORLD_SIZE is not set: the number of processes is unknown", hint=_HINT)
    if rank is None and world > 1:
        raise UsageError(
            f"WORLD_SIZE is {world} and RANK is not set: the number of this process is unknown", hint=_HINT
        )
    rank = rank or 0
    if rank >= world:
        raise UsageError(f"RANK is {rank} and WORLD_SIZE {world}: ranks go from 0 to {world - 1}", hint=_HINT)
    local_rank = _number("LOCAL_RANK") or 0
    local_world = _number("LOCAL_WORLD_SIZE", least=1)
    if local_world is not None and local_rank >= local_world:
        raise UsageError(
            f"LOCAL_RANK is {local_rank} and LOCAL_WORLD_SIZE {local_world}: ranks go from 0 to {local_world - 1}",
            hint=_HINT,
        )
    return Launch(rank, world, local_rank, local_world or 1)


def check_rendezvous() -> None:
    """Checks that the rendezvous address is set, which processes that train together need.

    Raises:
        UsageError: MASTER_ADDR or MASTER_PORT is not set, or the port is not valid.
    """
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise UsageError(
                f"RANK and WORLD_SIZE request training in several processes, but {name} is not set: "
                "the processes could not connect to each other",
                hint=_HINT,
            )
    port = os.environ["MASTER_PORT"]
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise UsageError(f"MASTER_PORT is not a valid port: {port[:60]!r}", hint=_HINT)


def _number(name: str, *, least: int = 0) -> int | None:
    """The value of a variable; None if it is not set."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise UsageError(f"{name} is not a whole number of at least {least}: {text[:60]!r}", hint=_HINT)
    return int(text)
