"""Sources that do not lie on each other are noticed, and laid in place where that is asked for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fusekit.data.image_writing import to_levels
from fusekit.data.raster import Raster
from fusekit.registration.registration import Registration
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets

Pair = tuple[Raster, Raster]


@pytest.fixture(scope="module")
def pair() -> Pair:
    scene = Streets(StreetsConfig(height=240, width=320, night="day"), None, "test", seed=1)[0]
    infrared, visible = (to_levels(image, np.dtype(np.uint16)) for image in scene.images)
    return Raster(infrared, 65535.0), Raster(visible, 65535.0)


def shifted(picture: Raster, right: int, down: int) -> Raster:
    return Raster(np.roll(picture.pixels, (down, right), axis=(0, 1)), picture.peak)


def test_a_registered_pair_is_left_alone_without_a_word(pair: Pair) -> None:
    same, notes = Registration()(pair, ("ir", "vi"))
    assert notes == ()
    assert [a.pixels is b.pixels for a, b in zip(same, pair, strict=True)] == [True, True]


def test_a_shifted_pair_is_noticed_and_nothing_is_moved(pair: Pair) -> None:
    moved = shifted(pair[1], 9, -4)
    sources, (note,) = Registration()((pair[0], moved), ("ir", "vi"))
    assert sources[1].pixels is moved.pixels
    assert note.startswith("vi looks shifted against ir: ")
    found = re.search(r": ([\d.]+) px right, ([\d.]+) px up", note)
    assert found is not None, note
    assert [float(number) for number in found.groups()] == pytest.approx([9, 4], abs=0.5)


def test_a_large_pair_is_looked_at_in_steps(pair: Pair) -> None:
    large = [Raster(np.kron(p.pixels, np.ones((8, 8) + (1,) * (p.pixels.ndim - 2), np.uint16)), p.peak) for p in pair]
    _, (note,) = Registration()((large[0], shifted(large[1], 72, 0)), ("ir", "vi"))
    right = float(note.split(": ")[1].split(" px right")[0])
    assert right == pytest.approx(72, abs=6)


def test_it_is_laid_in_place_in_its_own_depth(pair: Pair) -> None:
    pytest.importorskip("cv2")
    (infrared, visible), (note,) = Registration("shift")((pair[0], shifted(pair[1], 9, -4)), ("ir", "vi"))
    assert note.startswith("vi was registered to ir: shift 9.0 px right, 4.")
    assert " px up" in note
    assert visible.pixels.dtype == np.uint16
    assert visible.pixels.shape == pair[1].pixels.shape
    inside = np.s_[20:-20, 20:-20]
    error = np.abs(visible.pixels[inside].astype(float) - pair[1].pixels[inside]).mean() / 65535
    assert error < 0.01
    assert infrared is pair[0]


def test_sources_of_different_size_are_laid_on_the_largest(pair: Pair) -> None:
    pytest.importorskip("cv2")
    half = Raster(np.ascontiguousarray(pair[0].pixels[::2, ::2]), 65535.0)
    (infrared, visible), (note,) = Registration("shift")((half, pair[1]), ("ir", "vi"))
    assert (infrared.size, visible.size) == ((240, 320), (240, 320))
    assert note.startswith("ir was registered to vi: ")
