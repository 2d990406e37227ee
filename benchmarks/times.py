"""Table rows with times of benchmarks, relative to the reference of the same run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

TIMES_HEAD = f"{'median':>9} {'minimum':>9} {'CPU time':>9} {'speed-up of each':>18}"
"""Column headers of the rows of `times_beside`."""


def times_beside(
    reference: str, name: str, wall: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]]
) -> str:
    """One row: name, median and minimum of wall time, median of CPU time, and the speed-up by each of them.

    Args:
        reference: Name of the implementation that the ratios refer to.
        name: Name of the implementation in this row.
        wall: Wall time of each run in seconds, by name.
        cpu: CPU time of all threads for each run in seconds, by name.
    """
    faster = [
        by(times[reference]) / by(times[name])
        for by, times in ((statistics.median, wall), (min, wall), (statistics.median, cpu))
    ]
    return (
        f"{name:<18} {statistics.median(wall[name]):7.3f} s {min(wall[name]):7.3f} s "
        f"{statistics.median(cpu[name]):7.3f} s {', '.join(f'{ratio:.2f}' for ratio in faster):>18}"
    )
