"""Training curves as inline SVG: one small chart per phase, which needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fusekit.report.data import Curve

# The chart is displayed at about this size, so that its text is about as large as the surrounding text.
WIDTH, HEIGHT = 400, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 12, 38
_COLOURS = 6
_POINTS = 240
_LOG_FROM = 50.0  # if a curve falls by a larger factor, a linear axis hides all but its first part


@dataclass(frozen=True)
class LegendEntry:
    """Legend entry of a curve: colour and dash class, first and last value, number of gaps and best value."""

    style: str
    name: str
    first: str
    last: str
    gaps: int
    best: str = ""


@dataclass(frozen=True)
class Chart:
    """The chart of a phase as SVG, with its legend."""

    phase: str
    svg: str
    legend: tuple[LegendEntry, ...]
    logarithmic: bool


@dataclass(frozen=True)
class _Line:
    name: str
    style: str
    steps: np.ndarray
    raw: np.ndarray
    smooth: np.ndarray
    best: int | None  # index of the best value


def charts(curves: Iterable[Curve]) -> tuple[Chart, ...]:
    """One chart per phase, in order of first appearance, each followed by the charts of curves with their own chart."""
    phases: dict[str, dict[str, list[Curve]]] = {}
    for curve in curves:
        title = f"{curve.phase}: {curve.name}" if curve.own_chart else curve.phase
        phases.setdefault(curve.phase, {curve.phase: []}).setdefault(title, []).append(curve)
    groups = [item for charted in phases.values() for item in charted.items() if item[1]]
    return tuple(_chart(title, group, number) for number, (title, group) in enumerate(groups))


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Moving average over about `window` values, without values that are not finite; gaps stay gaps.

    A straight line is fitted in each window, which equals the mean in the middle of a curve. At the ends, where the
    window is one-sided, a mean would lag behind a falling curve, and the line does not.
    """
    finite = np.isfinite(values)
    if window < 3 or not finite.any():
        return np.where(finite, values, np.nan)
    index = np.arange(len(values), dtype=np.float64)
    low = np.maximum(np.arange(len(values)) - window // 2, 0)
    high = np.minimum(np.arange(len(values)) + window // 2 + 1, len(values))

    def windowed(terms: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0.0], np.cumsum(np.where(finite, terms, 0.0))])
        return sums[high] - sums[low]

    count = np.maximum(windowed(np.ones_like(index)), 1.0)
    middle, mean = windowed(index) / count, windowed(values) / count
    spread = windowed(index**2) / count - middle**2
    covariance = windowed(index * values) / count - middle * mean
    slope = np.divide(covariance, spread, out=np.zeros_like(mean), where=spread > 1e-3)
    # The line can leave the range of the values, and a logarithmic axis cannot show values below zero.
    fitted = np.clip(mean + slope * (index - middle), values[finite].min(), values[finite].max())
    return np.where(finite, fitted, np.nan)


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers inside [low, high], spaced by 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0.0:
        return [low]
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside [low, high]: fewer if there are many, with 2 and 5 times each if there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 6))
    factors = (1, 2, 5) if math.log10(high / low) <= 2.5 else (1,)
    values = [factor * 10.0**power for power in range(first, last + 1, stride) for factor in factors]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def short(value: float) -> str:
    """A number formatted in few characters: 0.02, 1.5k, 3e-5."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "\N{MINUS SIGN}")
    if size >= 1e4:
        return f"{value / 1e3:.4g}k".replace("-", "\N{MINUS SIGN}")
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _prepare(curves: Sequence[Curve]) -> list[_Line]:
    lines = []
    for number, curve in enumerate(curves):
        order = np.argsort(np.asarray(curve.steps, dtype=np.int64), kind="stable")
        steps = np.asarray(curve.steps, dtype=np.float64)[order]
        raw = np.asarray(curve.values, dtype=np.float64)[order]
        raw = np.where(np.isfinite(raw), raw, np.nan)
        # A curve of few points (one per epoch) is not smoothed, because it has little noise.
        window = len(raw) // 15 if len(raw) >= 45 else 1
        style = f"c{number % _COLOURS} d{number // _COLOURS % 3}"
        best = int(np.flatnonzero(steps == curve.best)[-1]) if curve.best is not None else None
        smooth = smoothed(raw, window if best is None else 1)  # the curve that selects the best step is not smoothed
        lines.append(_Line(curve.name, style, steps, raw, smooth, best))
    return lines


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about twice `_POINTS` points; each segment keeps its extremes, so that no spike is lost."""
    if len(values) <= 2 * _POINTS:
        return steps, values
    keep: set[int] = {0, len(values) - 1}
    for segment in np.array_split(np.arange(len(values)), _POINTS):
        part = values[segment]
        if np.isnan(part).all():
            keep.add(int(segment[0]))
        else:
            keep.update((int(segment[np.nanargmin(part)]), int(segment[np.nanargmax(part)])))
    chosen = np.array(sorted(keep))
    return steps[chosen], values[chosen]


class _Axes:
    """Axes of a chart: map steps and values to coordinates."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        steps = np.concatenate([line.steps[np.isfinite(line.raw)] for line in lines])
        values = np.concatenate([line.raw[np.isfinite(line.raw)] for line in lines])
        self.left, self.right = float(steps.min()), float(steps.max())
        self.low, self.high = float(values.min()), float(values.max())
        self.logarithmic = self.low > 0.0 and self.high / self.low >= _LOG_FROM
        if self.logarithmic:
            self.low, self.high = self.low / 1.1, self.high * 1.1
        else:
            margin = 0.04 * (self.high - self.low) or abs(self.high) * 0.1 or 1.0
            # The distance of a loss from zero matters, so the axis starts at zero if the values are close to it.
            from_zero = 0.0 <= self.low <= 0.4 * self.high
            self.low, self.high = 0.0 if from_zero else self.low - margin, self.high + margin

    def x(self, steps: np.ndarray) -> np.ndarray:
        inner = WIDTH - _LEFT - _RIGHT
        if self.right == self.left:
            return np.full(np.shape(steps), _LEFT + inner / 2)
        return _LEFT + inner * (steps - self.left) / (self.right - self.left)

    def y(self, values: np.ndarray) -> np.ndarray:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, values = math.log(low), math.log(high), np.log(values)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (values - low) / (high - low)

    def draw(self) -> list[str]:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts = []
        for value in log_ticks(self.low, self.high) if self.logarithmic else ticks(self.low, self.high):
            y = float(self.y(np.array(value)))
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
        parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
        for value in ticks(self.left, self.right, 5):
            if value != round(value):
                continue  # steps are integers
            x = float(self.x(np.array(value)))
            anchor = "end" if x > right - 12 else "middle"
            parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="{anchor}">{short(value)}</text>')
        scale = "step, log scale" if self.logarithmic else "step"
        parts.append(f'<text x="{(_LEFT + right) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{scale}</text>')
        return parts


def _path(axes: _Axes, steps: np.ndarray, values: np.ndarray, style: str) -> str:
    """Line through the finite points; an isolated point is drawn as a dot."""
    steps, values = _thin(steps, values)
    finite = np.isfinite(values)
    xs, ys = axes.x(steps), axes.y(values)
    commands, dots = [], []
    for index in np.flatnonzero(finite):
        before = index > 0 and finite[index - 1]
        after = index + 1 < len(finite) and finite[index + 1]
        if not before and not after:
            dots.append(f'<circle class="{style}" cx="{xs[index]:.1f}" cy="{ys[index]:.1f}" r="3"/>')
        else:
            commands.append(f"{'L' if before else 'M'}{xs[index]:.1f} {ys[index]:.1f}")
    line = f'<path class="{style}" d="{"".join(commands)}"/>' if commands else ""
    return line + "".join(dots)


def _best_mark(axes: _Axes, line: _Line) -> str:
    """A ring around the best value."""
    if line.best is None or not np.isfinite(line.raw[line.best]):
        return ""
    x, y = axes.x(line.steps[line.best : line.best + 1])[0], axes.y(line.raw[line.best : line.best + 1])[0]
    return f'<circle class="best {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _chart(phase: str, curves: Sequence[Curve], number: int) -> Chart:
    lines = _prepare(curves)
    legend = []
    for line in lines:
        finite = line.smooth[np.isfinite(line.smooth)]
        first, last = (short(finite[0]), short(finite[-1])) if len(finite) else ("–", "–")
        best = f"{short(line.raw[line.best])} at step {line.steps[line.best]:.0f}" if line.best is not None else ""
        legend.append(LegendEntry(line.style, line.name, first, last, int(np.isnan(line.raw).sum()), best))
    drawable = [line for line in lines if np.isfinite(line.raw).any()]
    if drawable:
        axes = _Axes(drawable)
        logarithmic = axes.logarithmic
        parts = axes.draw()
        parts += [
            _path(axes, line.steps, line.raw, f"raw {line.style}")
            for line in drawable
            if not np.array_equal(line.raw, line.smooth, equal_nan=True)
        ]
        parts += [_path(axes, line.steps, line.smooth, f"line {line.style}") for line in drawable]
        parts += [_best_mark(axes, line) for line in drawable]
        description = "; ".join(
            f"{entry.name} from {entry.first} to {entry.last}" + (f", best {entry.best}" if entry.best else "")
            for entry in legend
        )
    else:
        logarithmic, description = False, "no finite values"
        middle = f'x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle"'
        parts = [f"<text {middle}>No finite value was recorded</text>"]
    svg = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="chart-{number}-title chart-{number}-desc">'
        f'<title id="chart-{number}-title">Training curves: {escape(phase)}</title>'
        f'<desc id="chart-{number}-desc">{escape(description)}</desc>{"".join(parts)}</svg>'
    )
    return Chart(phase, svg, tuple(legend), logarithmic)
