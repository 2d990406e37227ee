"""Image fusion metrics, each in a named dialect.

Every metric sees 8-bit grey images only: `grey8` is the one place where colour is dropped and values are
rounded, so that two metrics of one report can never disagree about the pixels they scored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusekit.evaluation.metrics.grey import grey8

__all__ = ["grey8"]


def __getattr__(name: str) -> Any:
    # Late, because the entry module of the metrics is in this package and must load without torch.
    if name == "grey8":
        from fusekit.evaluation.metrics.grey import grey8

        return grey8
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
