"""Degradations by optics and geometry: defocus, motion blur, misregistration."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import Severity, Transform
from fusekit_degradations.config import BlurConfig, MotionConfig, ShiftConfig
from fusekit_degradations.light import in_linear_light


class Blur(Transform):
    """Defocus: convolution of linear light with a Gaussian point spread function, reflected at the borders.

    The Gaussian is sampled at the pixels within four standard deviations.
    """

    Config = BlurConfig
    config: BlurConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        sigma = self.config.sigma[severity]
        if sigma == 0:
            return source.clone()
        reach = math.ceil(4 * sigma)
        weights = torch.exp(-(torch.arange(-reach, reach + 1, dtype=torch.float32) ** 2) / (2 * sigma**2))
        weights = weights / weights.sum()

        def blurred(light: Tensor) -> Tensor:
            padded = reflected(light, reach, reach)[:, None]
            return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))[:, 0]

        return in_linear_light(source, role, blurred)


class MotionBlur(Transform):
    """Motion blur: mean of linear light along a straight path of constant speed, reflected at the borders.

    The path is sampled at most one pixel apart, with bilinear interpolation.
    """

    Config = MotionConfig
    config: MotionConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        length, angle = self.config.length[severity], math.radians(self.config.angle)
        count, reach = math.ceil(length) + 1, math.ceil(length / 2) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
        along = np.linspace(-length / 2, length / 2, count)
        splat(kernel, reach - along * math.sin(angle), reach + along * math.cos(angle), np.full(count, 1 / count))
        height, width = source.shape[-2:]

        def moved(light: Tensor) -> Tensor:
            padded, found = reflected(light, reach, reach), torch.zeros_like(light)
            for row, column in zip(*np.nonzero(kernel), strict=True):  # few of the points of the kernel
                part = padded[:, row : row + height, column : column + width]
                found.add_(part, alpha=float(kernel[row, column]))
            return found

        return in_linear_light(source, role, moved)


class Shift(Transform):
    """Misregistration: a shift by whole pixels in a random direction, reflected at the borders.

    Whole pixels, because interpolation would also blur. The label map, the ideal and the other sources fit the image
    before the shift.
    """

    Config = ShiftConfig
    config: ShiftConfig
    moves_content = True

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        angle, distance = random.uniform(0.0, 2.0 * math.pi), self.config.distance[severity]
        down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
        height, width = source.shape[-2:]
        reach = max(abs(down), abs(right))
        padded = reflected(source, reach, reach)
        return padded[:, reach - down : reach - down + height, reach - right : reach - right + width].clone()


def reflected(image: Tensor, rows: int, columns: int) -> Tensor:
    """An image with reflected borders of any width; the border pixels are not repeated."""
    height, width = image.shape[-2:]
    return image[:, _reflection(height, rows)][:, :, _reflection(width, columns)]


def _reflection(size: int, border: int) -> Tensor:
    period = max(1, 2 * (size - 1))
    index = torch.arange(-border, size + border) % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


def splat(plane: np.ndarray, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> None:
    """Adds weights at points of a plane, each shared bilinearly by four pixels; parts outside of the plane are dropped.

    Args:
        plane: (H, W), changed in place.
        rows: Row of each point; whole numbers are centres of pixels.
        columns: Column of each point.
        weights: Weight of each point.
    """
    height, width = plane.shape
    top, left = np.floor(rows), np.floor(columns)
    down, right = rows - top, columns - left
    for r, share_r in ((top, 1.0 - down), (top + 1, down)):
        for c, share_c in ((left, 1.0 - right), (left + 1, right)):
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            place = (r[inside] * width + c[inside]).astype(np.int64)
            added = np.bincount(place, (weights * share_r * share_c)[inside], minlength=height * width)
            plane += added.reshape(height, width)
