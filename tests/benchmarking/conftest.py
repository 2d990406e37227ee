"""Three small scenes, and the fused images of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROLES = ("infrared", "visible")
SCENES = ("one", "two", "three")


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """``data/test/{ir,vi}`` with three scenes of 40 x 48 pixels."""
    root = tmp_path / "data"
    random = np.random.default_rng(0)
    for scene in SCENES:
        for folder in ("ir", "vi"):
            write(root / "test" / folder / f"{scene}.png", random.integers(0, 256, (40, 48), dtype=np.uint8))
    return root


@pytest.fixture
def other(tmp_path: Path, data: Path) -> Path:
    """Fused images of another program: the rounded mean of both sources."""
    folder = tmp_path / "other"
    for scene in SCENES:
        ir, vi = (np.asarray(Image.open(data / "test" / f / f"{scene}.png")).astype(float) for f in ("ir", "vi"))
        write(folder / f"{scene}.png", np.round((ir + vi) / 2).astype(np.uint8))
    return folder


@pytest.fixture
def plain(data: Path, other: Path) -> dict[str, Any]:
    """A benchmark of that folder on these scenes."""
    return {
        "schema": 1,
        "name": "small",
        "datasets": [{"name": "scenes", "use": "data.pairs", "root": str(data), "params": {"train_folder": None}}],
        "methods": [{"name": "theirs", "images": str(other)}],
        "metrics": ["strict.en", "strict.mi", "strict.sf"],
        "bootstrap": {"resamples": 200},
        "pictures": 1,
    }
