"""Synthetic street scenes: registered visible and infrared images with exact labels, from a seed.

:func:`render_scene` lays out a street, draws it once into a buffer of face numbers and derives the visible
image, the infrared image and the label from that same buffer.
"""

from __future__ import annotations

from fusekit.data.synthetic.materials import MSRS_CLASSES
from fusekit.data.synthetic.scene import Scene, render_scene

__all__ = ["MSRS_CLASSES", "Scene", "render_scene"]
