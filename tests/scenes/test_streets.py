"""The synthetic scene generator: reproducible, exactly labelled, and different in both modalities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from fusekit_scenes.render import MSRS_CLASSES, Scene, render_scene

pytestmark = pytest.mark.slow

PERSON = MSRS_CLASSES.index("person")
CAR = MSRS_CLASSES.index("car")
SMALL = (120, 160)


@lru_cache(maxsize=256)
def small_scene(index: int, night: bool | None = None) -> Scene:
    return render_scene(7, index, height=SMALL[0], width=SMALL[1], night=night)


def luma(scene: Scene) -> np.ndarray:
    """Grey values of the visible image, ``(H, W)`` float."""
    return scene.visible @ np.array([0.299, 0.587, 0.114])


def gradient(image: np.ndarray) -> np.ndarray:
    """Length of the forward-difference gradient."""
    image = image.astype(float)
    return np.hypot(image[:-1, 1:] - image[:-1, :-1], image[1:, :-1] - image[:-1, :-1])


def surroundings(mask: np.ndarray, reach: int = 4) -> np.ndarray:
    """Pixels within ``reach`` of a mask, but not in it."""
    grown = mask.copy()
    for _ in range(reach):
        padded = np.pad(grown, 1)
        grown = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown & ~mask


def night_scenes_with_people() -> list[Scene]:
    scenes = [small_scene(i, True) for i in range(16)]
    return [scene for scene in scenes if (scene.label == PERSON).sum() >= 25]


def test_class_names_are_those_of_msrs() -> None:
    assert len(MSRS_CLASSES) == 9
    assert MSRS_CLASSES[0] == "unlabelled"


def test_same_arguments_give_the_same_bytes() -> None:
    first = render_scene(3, 5, height=90, width=120)
    second = render_scene(3, 5, height=90, width=120)
    for name in ("visible", "infrared", "label"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.night == second.night


def test_drawn_time_of_day_equals_the_same_time_given() -> None:
    drawn = render_scene(3, 5, height=64, width=64)
    given = render_scene(3, 5, height=64, width=64, night=drawn.night)
    assert drawn.visible.tobytes() == given.visible.tobytes()


@pytest.mark.parametrize(("seed", "index"), [(3, 6), (4, 5)])
def test_another_seed_or_index_gives_another_scene(seed: int, index: int) -> None:
    first = render_scene(3, 5, height=64, width=64)
    other = render_scene(seed, index, height=64, width=64)
    assert (first.infrared != other.infrared).mean() > 0.2
    assert (first.visible != other.visible).mean() > 0.2


def test_global_random_state_is_neither_used_nor_changed() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = render_scene(0, 0, height=48, width=48)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(2)
    assert render_scene(0, 0, height=48, width=48).visible.tobytes() == first.visible.tobytes()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (61, 200), (150, 37), (121, 161)])
@pytest.mark.parametrize("night", [False, True])
def test_any_size_gives_the_promised_shapes(height: int, width: int, night: bool) -> None:
    scene = render_scene(1, 2, height=height, width=width, night=night)
    assert scene.visible.shape == (height, width, 3)
    assert scene.infrared.shape == (height, width)
    assert scene.label.shape == (height, width)
    assert scene.visible.dtype == scene.infrared.dtype == scene.label.dtype == np.uint8
    assert scene.night is night


@pytest.mark.parametrize("arguments", [{"height": 31}, {"width": 8}, {"index": -1}, {"seed": -1}])
def test_unusable_arguments_are_refused(arguments: dict[str, int]) -> None:
    given = {"seed": 0, "index": 0, "height": 64, "width": 64} | arguments
    seed, index = given.pop("seed"), given.pop("index")
    with pytest.raises(ValueError, match=r"pixels|negative"):
        render_scene(seed, index, **given)


def test_layout_does_not_depend_on_the_resolution() -> None:
    small = render_scene(2, 3, height=60, width=80, night=False).label
    large = render_scene(2, 3, height=240, width=320, night=False).label[2::4, 2::4]
    assert (small == large).mean() > 0.9


def test_every_class_occurs_and_nothing_else() -> None:
    counts = np.zeros(9, int)
    pixels = np.zeros(9, int)
    for index in range(40):
        found = np.bincount(small_scene(index).label.ravel(), minlength=9)
        assert len(found) == 9
        pixels += found
        counts += found > 0
    assert (counts >= 3).all(), dict(zip(MSRS_CLASSES, counts.tolist(), strict=True))
    assert counts[CAR] > 20
    assert counts[PERSON] > 20
    share = pixels / pixels.sum()
    assert 0.02 < share[CAR] < 0.12
    assert 0.005 < share[PERSON] < 0.05


def test_both_times_of_day_are_drawn() -> None:
    nights = sum(small_scene(index).night for index in range(40))
    assert 10 <= nights <= 30


def test_people_are_warmer_than_what_is_around_them_at_night() -> None:
    scenes = night_scenes_with_people()
    assert len(scenes) >= 8
    compared = 0
    for scene in scenes:
        mask = scene.label == PERSON
        around = surroundings(mask) & (scene.label == 0)
        if around.sum() >= 20:
            assert scene.infrared[mask].mean() > 1.5 * scene.infrared[around].mean() + 5
            compared += 1
    assert compared >= 6


def test_night_is_darker_than_day_in_visible_but_not_in_infrared() -> None:
    for index in range(8):
        day, night = small_scene(index, False), small_scene(index, True)
        assert luma(night).mean() < 0.7 * luma(day).mean()
        assert 0.3 < night.infrared.mean() / day.infrared.mean() < 3.0


def test_people_stand_out_in_infrared_and_hide_in_visible_at_night() -> None:
    contrast_visible, contrast_infrared = [], []
    for scene in night_scenes_with_people():
        mask = scene.label == PERSON
        around = surroundings(mask)
        grey = luma(scene)
        contrast_visible.append(abs(grey[mask].mean() - grey[around].mean()))
        contrast_infrared.append(abs(scene.infrared[mask].mean() - scene.infrared[around].mean()))
    assert np.mean(contrast_visible) < 0.6 * np.mean(contrast_infrared)


@pytest.mark.parametrize("night", [False, True])
def test_neither_source_has_all_the_detail(night: bool) -> None:
    shares = []
    for index in range(10):
        scene = small_scene(index, night)
        shares.append((gradient(scene.infrared) > gradient(luma(scene))).mean())
    assert 0.1 < np.mean(shares) < 0.75


def test_glare_lights_visible_only() -> None:
    """Headlights saturate the visible camera; the hottest infrared pixels are people and engines."""
    saturated = [small_scene(index, True).visible.min(axis=2) > 220 for index in range(16)]
    assert sum(mask.sum() > 20 for mask in saturated) > 4
    for index, mask in enumerate(saturated):
        if mask.sum() > 20:
            assert small_scene(index, True).infrared[mask].mean() < 150
