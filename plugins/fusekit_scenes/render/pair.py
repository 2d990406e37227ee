"""A pair of images of one scene with its ideal fused image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_SIDE = 32
"""Smallest side of an image in pixels."""


@dataclass(frozen=True)
class Pair:
    """Two registered images whose ideal fusion is known.

    Attributes:
        images: Two arrays ``(H, W)`` or ``(H, W, 3)`` uint8, sRGB-like.
        ideal: ``(H, W)`` or ``(H, W, 3)`` uint8, sRGB-like.
    """

    images: tuple[np.ndarray, np.ndarray]
    ideal: np.ndarray


def check_request(seed: int, index: int, height: int, width: int) -> None:
    """Refuse arguments for which nothing can be rendered.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"A scene needs at least {MIN_SIDE}x{MIN_SIDE} pixels, got {height}x{width}.")
    if seed < 0 or index < 0:
        raise ValueError(f"Seed and index must not be negative, got {seed} and {index}.")


def camera_rng(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Random generator for per-pair camera effects (focus, exposure, noise).

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the pair in it, 0 or more.
        purpose: Use of the random numbers; different purposes have independent generators.

    Returns:
        A generator that is independent of those of the scenes.
    """
    # Streets spawn children from (seed, index); a longer key never equals one of those.
    return np.random.default_rng(np.random.SeedSequence([seed, index, *purpose.encode()]))
