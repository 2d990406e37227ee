"""Plots of a benchmark as inline SVG, which need no script: values over severities, and spreads over images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from fusekit.report.benchmark_data import Board, Sweep
from fusekit.report.curves import short, ticks
from fusekit.report.tables import number

WIDTH, HEIGHT = 400, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 26
_COLOURS, _DASHES = 6, 3
_NAME, _ROW = 150, 17  # width of the names and height of a row in a box plot


def style(number: int) -> str:
    """Colour and dash class of the line of a method, by the position of the method in the benchmark."""
    return f"c{number % _COLOURS} d{number // _COLOURS % _DASHES}"


def sweep_plot(sweep: Sweep, styles: Mapping[str, str], identifier: str) -> str:
    """A line per method over the severities; baselines are thinner. Gaps are values that are undefined.

    Args:
        sweep: The values.
        styles: Classes of the lines by name of the method.
        identifier: Identifier of the plot, unique on its page.
    """
    finite = [value for row in sweep.values for value in row if math.isfinite(value)]
    title = f"{sweep.title}: {sweep.column.name} over severities"
    parts = [f"<title>{escape(title)}</title>"]
    if not finite or not sweep.severities:
        parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle">No value is defined</text>')
    else:
        low, high = min(finite), max(finite)
        margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - margin, high + margin
        parts += _axes(sweep.severities, low, high)
        for method, row in zip(sweep.methods, sweep.values, strict=True):
            thin = " thin" if method.is_baseline else ""
            parts.append(_line(row, low, high, f"{styles.get(method.name, 'c5')}{thin}", method.name))
    return f'<svg class="chart" id="{identifier}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _x(index: int, count: int) -> float:
    inner = WIDTH - _LEFT - _RIGHT
    return _LEFT + (inner * (index + 0.5) / count if count < 3 else 14 + (inner - 28) * index / (count - 1))


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)


def _axes(severities: Sequence[str], low: float, high: float) -> list[str]:
    parts, bottom, right = [], HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for value in ticks(low, high, 5):
        y = _y(value, low, high)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
    longest = max(4, int((right - _LEFT) / len(severities) / 6.5))
    for index, name in enumerate(severities):
        cut = name if len(name) <= longest else f"{name[: longest - 1]}…"
        x = _x(index, len(severities))
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(cut)}</text>')
    return parts


def _line(row: Sequence[float], low: float, high: float, classes: str, name: str) -> str:
    points = [(_x(i, len(row)), _y(v, low, high)) if math.isfinite(v) else None for i, v in enumerate(row)]
    path, before = "", None
    for point in points:
        if point is not None:
            path += f"{'M' if before is None else 'L'}{point[0]:.1f} {point[1]:.1f}"
        before = point
    dots = "".join(
        f'<circle class="{classes}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="2.4"/>' for point in points if point
    )
    line = f'<path class="line {classes}" d="{path}"/>'
    return f'<g data-method="{escape(name)}"><title>{escape(name)}</title>{line}{dots}</g>'


def spread_plot(board: Board, column: int, identifier: str) -> str:
    """The values of one metric over the images: for each method the range as a thin line, the middle half as a thick
    one, and the median as a dot. Empty if no method has values of single images.

    Args:
        board: The leaderboard.
        column: Position of the metric.
        identifier: Identifier of the plot, unique on its page.
    """
    key = board.keys[column]
    values = [np.array([v for v in line.values(key) if v is not None], dtype=np.float64) for line in board.lines]
    values = [each[np.isfinite(each)] for each in values]
    if not any(len(each) for each in values):
        return ""
    low, high = min(each.min() for each in values if len(each)), max(each.max() for each in values if len(each))
    span = high - low or abs(high) or 1.0
    bottom = _TOP + _ROW * len(values)

    def x(value: float) -> float:
        return _NAME + (WIDTH - _NAME - 12) * (value - low) / span

    parts = [f"<title>{escape(board.columns[column].name)} of every image</title>"]
    for value in ticks(low, high, 4):
        parts.append(f'<path class="grid" d="M{x(value):.1f} {_TOP - 6}V{bottom}"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 14}" text-anchor="middle">{short(value)}</text>')
    for index, (line, each) in enumerate(zip(board.lines, values, strict=True)):
        y = _TOP + _ROW * index + 6
        name = line.method.name
        cut = name if len(name) <= 20 else f"{name[:18]}…"
        kind = "c5" if line.method.is_baseline else "c0"
        parts.append(f'<text x="{_NAME - 8}" y="{y + 4}" text-anchor="end">{escape(cut)}</text>')
        if not len(each):
            continue
        first, quarter, median, most, last = np.percentile(each, (0, 25, 50, 75, 100))
        text = f"{name}: {number(first, 4)} to {number(last, 4)}, median {number(median, 4)}, {len(each)} images"
        parts.append(
            f'<g><title>{escape(text)}</title><path class="range {kind}" d="M{x(first):.1f} {y}H{x(last):.1f}"/>'
            f'<path class="middle {kind}" d="M{x(quarter):.1f} {y}H{max(x(most), x(quarter) + 0.5):.1f}"/>'
            f'<circle class="median" cx="{x(median):.1f}" cy="{y}" r="2.6"/></g>'
        )
    return f'<svg class="chart" id="{identifier}" viewBox="0 0 {WIDTH} {bottom + 20}" role="img">{"".join(parts)}</svg>'


def pair_plot(first: Sequence[float], second: Sequence[float]) -> str:
    """The values of two methods on every image, in the given order: a dot each, joined by a line. The page's script
    draws the same plot for other methods.

    Args:
        first: Values of the first method, drawn in colour.
        second: Values of the second, drawn in grey.
    """
    finite = [value for value in (*first, *second) if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - margin, high + margin
    parts = ["<title>Values of the two methods on every image</title>"]
    for value in ticks(low, high, 5):
        y = _pair_y(value, low, high)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{PAIR_WIDTH - 8}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        x = _LEFT + (PAIR_WIDTH - _LEFT - 8) * (index + 0.5) / len(first)
        top, other = _pair_y(a, low, high), _pair_y(b, low, high)
        parts.append(f'<path class="join" d="M{x:.1f} {top:.1f}V{other:.1f}"/>')
        parts.append(f'<circle class="c5" cx="{x:.1f}" cy="{other:.1f}" r="2.6"/>')
        parts.append(f'<circle class="c0" cx="{x:.1f}" cy="{top:.1f}" r="3"/>')
    return f'<svg class="chart pair" viewBox="0 0 {PAIR_WIDTH} {PAIR_HEIGHT}" role="img">{"".join(parts)}</svg>'


PAIR_WIDTH, PAIR_HEIGHT = 520, 150


def _pair_y(value: float, low: float, high: float) -> float:
    return PAIR_HEIGHT - 8 - (PAIR_HEIGHT - 18) * (value - low) / (high - low)
