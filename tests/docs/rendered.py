"""Folders of images for pages that want some, rendered; nothing comes from outside the repository."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from fusekit_scenes.render import render_scene


def write_msrs(root: Path, *, scenes: int = 2, size: tuple[int, int] = (64, 96)) -> None:
    """Rendered street scenes in the layout of MSRS."""
    height, width = size
    for seed, split in enumerate(("train", "test")):
        for number in range(scenes):
            scene = render_scene(seed, number, height=height, width=width)
            images = {"ir": scene.infrared, "vi": scene.visible, "Segmentation_labels": scene.label}
            for name, pixels in images.items():
                path = root / split / name / f"{number:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
