"""Proportions of the vehicle types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Proportions of a vehicle; lengths in metres, positions along the body relative to its middle.

    Attributes:
        length: Overall length.
        width: Overall width.
        body: Lower body from the rear bumper over the top to the front bumper, (along, height) each.
        cabin: Rear base, rear roof, front roof and front base of the cabin, (along, height) each.
        taper: Difference of the half widths of belt line and roof.
        panes: Start and end of the side windows as shares of the cabin length.
        wheel: Wheel radius.
    """

    length: float
    width: float
    body: tuple[tuple[float, float], ...]
    cabin: tuple[tuple[float, float], ...]
    taper: float
    panes: tuple[tuple[float, float], ...]
    wheel: float = 0.32


SHAPES: dict[str, Shape] = {
    "sedan": Shape(
        4.6,
        1.76,
        (
            (-2.30, 0.24),
            (-2.30, 0.66),
            (-2.20, 0.98),
            (1.15, 0.92),
            (1.95, 0.82),
            (2.22, 0.72),
            (2.30, 0.42),
            (2.26, 0.20),
        ),
        ((-1.85, 0.96), (-0.95, 1.42), (0.20, 1.44), (1.25, 0.91)),
        0.20,
        ((0.10, 0.47), (0.53, 0.90)),
    ),
    "hatch": Shape(
        3.9,
        1.70,
        (
            (-1.95, 0.24),
            (-1.95, 0.62),
            (-1.86, 1.00),
            (1.05, 0.97),
            (1.65, 0.86),
            (1.88, 0.76),
            (1.95, 0.44),
            (1.90, 0.20),
        ),
        ((-1.84, 0.99), (-1.40, 1.50), (0.10, 1.53), (1.15, 0.95)),
        0.18,
        ((0.12, 0.48), (0.53, 0.90)),
    ),
    "suv": Shape(
        4.5,
        1.84,
        (
            (-2.25, 0.30),
            (-2.25, 0.72),
            (-2.15, 1.10),
            (1.20, 1.06),
            (1.95, 0.98),
            (2.18, 0.88),
            (2.25, 0.50),
            (2.20, 0.26),
        ),
        ((-2.14, 1.09), (-1.82, 1.68), (0.20, 1.72), (1.25, 1.04)),
        0.16,
        ((0.05, 0.28), (0.32, 0.60), (0.64, 0.92)),
        0.36,
    ),
    "van": Shape(
        4.7,
        1.74,
        (
            (-2.35, 0.26),
            (-2.35, 0.76),
            (-2.33, 1.08),
            (1.95, 1.05),
            (2.12, 1.0),
            (2.30, 0.88),
            (2.35, 0.48),
            (2.30, 0.22),
        ),
        ((-2.33, 1.08), (-2.22, 1.92), (1.25, 1.95), (2.02, 1.03)),
        0.10,
        ((0.04, 0.32), (0.36, 0.64), (0.70, 0.93)),
        0.33,
    ),
    "lorry": Shape(
        6.2,
        2.1,
        (
            (-3.1, 0.45),
            (-3.1, 0.75),
            (-3.1, 0.95),
            (2.8, 1.10),
            (3.0, 1.05),
            (3.08, 0.92),
            (3.1, 0.5),
            (3.08, 0.35),
        ),
        ((1.45, 1.05), (1.50, 2.20), (2.65, 2.22), (3.02, 1.06)),
        0.08,
        ((0.35, 0.92),),
        0.42,
    ),
}
"""Vehicle types by name."""
