"""How benchmarks print times: each beside the reference of the same run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

TIMES_HEAD = f"{'median':>9} {'minimum':>9} {'CPU time':>9} {'faster by these':>18}"
"""Heads of the columns that `times_beside` fills."""


def times_beside(
    reference: str, name: str, wall: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]]
) -> str:
    """One row: name, median and minimum of wall time, median of CPU time, and how much faster by each.

    Args:
        reference: Name that the ratios refer to.
        name: Whose row it is.
        wall: Seconds of each run by name.
        cpu: Seconds of all threads of each run by name.
    """
    faster = [
        by(times[reference]) / by(times[name])
        for by, times in ((statistics.median, wall), (min, wall), (statistics.median, cpu))
    ]
    return (
        f"{name:<18} {statistics.median(wall[name]):7.3f} s {min(wall[name]):7.3f} s "
        f"{statistics.median(cpu[name]):7.3f} s {', '.join(f'{ratio:.2f}' for ratio in faster):>18}"
    )
