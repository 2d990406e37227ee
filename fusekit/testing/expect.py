"""Assertions with messages that state what was expected, what was found, and where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def expect(holds: bool, message: str) -> None:
    """Fail with the message unless the condition holds.

    Raises:
        AssertionError: The condition does not hold.
    """
    if not holds:
        raise AssertionError(message)


def expect_shape(what: str, found: Tensor, wanted: Sequence[int]) -> None:
    """Fail unless a tensor has the given shape."""
    expect(isinstance(found, Tensor), f"{what}: expected a tensor, found {type(found).__name__}")
    expect(tuple(found.shape) == tuple(wanted), f"{what}: expected shape {tuple(wanted)}, found {tuple(found.shape)}")


def expect_image(what: str, found: Tensor) -> None:
    """Fail unless a tensor is a float32 image of finite values in [0, 1]."""
    expect_finite(what, found)
    expect_within(what, found, 0.0, 1.0)


def expect_finite(what: str, found: Tensor) -> None:
    """Fail unless a tensor is float32 and finite."""
    expect(found.dtype == torch.float32, f"{what}: expected float32, found {found.dtype}")
    bad = ~torch.isfinite(found)
    expect(
        not bool(bad.any()), f"{what}: expected finite values, found {int(bad.sum())} that are not{_first_place(bad)}"
    )


def expect_within(what: str, found: Tensor, low: float, high: float, slack: float = 0.0) -> None:
    """Fail unless all values are in [low, high]."""
    found = found.detach()
    bad = (found < low - slack) | (found > high + slack)
    expect(
        not bool(bad.any()),
        f"{what}: expected values in [{low:g}, {high:g}], found {float(found.min()):g} to {float(found.max()):g}"
        f"{_first_place(bad)}",
    )


def expect_same(what: str, found: Tensor, wanted: Tensor, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Fail unless two tensors are equal within the tolerance; bitwise if no tolerance is given."""
    expect_shape(what, found, wanted.shape)
    expect(found.dtype == wanted.dtype, f"{what}: expected {wanted.dtype}, found {found.dtype}")
    found, wanted = found.detach(), wanted.detach()
    if torch.allclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True):
        return
    difference = (found.double() - wanted.double()).abs().nan_to_num(nan=float("inf"))
    worst = float(difference.max())
    raise AssertionError(
        f"{what}: expected equal values, found a difference of up to {worst:g}{_first_place(difference == worst)}"
    )


def _first_place(bad: Tensor) -> str:
    places = bad.nonzero()
    return f", first at index {tuple(places[0].tolist())}" if bad.ndim and len(places) else ""
