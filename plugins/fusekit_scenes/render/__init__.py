"""Renderer of synthetic scenes from a seed: registered images with exact labels or a known ideal fused image.

:func:`render_scene` generates a street, draws it once into a buffer of face indices and derives the visible image, the
infrared image and the label map from this buffer. :func:`focus_pair` and :func:`exposure_pair` render such streets with
two focus distances or two exposures, :func:`medical_pair` renders scans of an artificial head.
"""

from __future__ import annotations

from fusekit_scenes.render.exposure import exposure_pair
from fusekit_scenes.render.focus import focus_pair
from fusekit_scenes.render.materials import MSRS_CLASSES
from fusekit_scenes.render.medical import medical_pair
from fusekit_scenes.render.pair import Pair
from fusekit_scenes.render.scene import Scene, render_scene

__all__ = ["MSRS_CLASSES", "Pair", "Scene", "exposure_pair", "focus_pair", "medical_pair", "render_scene"]
