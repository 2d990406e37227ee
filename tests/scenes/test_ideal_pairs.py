"""Rendered pairs with an ideal fused image: reproducible, and ideal in the sense that each task gives the word."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
import torch

from fusekit_scenes.config import IdealPairsConfig
from fusekit_scenes.ideal_pairs import IdealPairs
from fusekit_scenes.render import Pair, exposure_pair, focus_pair, medical_pair
from fusekit_scenes.render.anatomy import Tissue, brain_slice
from fusekit_scenes.render.exposure import exposure_gains, tone_map
from fusekit_scenes.render.focus import focus_distances
from fusekit_scenes.render.grain import blur
from fusekit_scenes.render.lens import circle_of_confusion, defocus, disc
from fusekit_scenes.render.medical import activity_chroma, join_chroma
from fusekit_scenes.render.pair import camera_rng
from fusekit_scenes.render.sensor import LUMA

pytestmark = pytest.mark.slow

SIZE = 128
MAKERS: dict[str, Callable[..., Pair]] = {
    "multifocus": focus_pair,
    "multiexposure": exposure_pair,
    "medical": medical_pair,
}
ROLES = {"multifocus": ("near", "far"), "multiexposure": ("under", "over"), "medical": ("mri", "pet")}
CHANNELS = {"multifocus": (3, 3), "multiexposure": (3, 3), "medical": (1, 3)}


@lru_cache(maxsize=64)
def small(task: str, index: int) -> Pair:
    return MAKERS[task](7, index, height=SIZE, width=SIZE)


def luma(image: np.ndarray) -> np.ndarray:
    """Luminance ``(H, W)`` in [0, 1]."""
    grey = image if image.ndim == 2 else image @ LUMA
    return (grey / 255).astype(np.float32)


def energy(image: np.ndarray) -> np.ndarray:
    """Squared gradient around every pixel, ``(H, W)``."""
    down, across = np.gradient(image)
    return blur((down**2 + across**2).astype(np.float32), 2.0)


def bytes_of(pair: Pair) -> bytes:
    return b"".join(image.tobytes() for image in (*pair.images, pair.ideal))


@pytest.mark.parametrize("task", MAKERS)
def test_same_arguments_give_the_same_bytes_and_others_do_not(task: str) -> None:
    make = MAKERS[task]
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = make(3, 5, height=64, width=64)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(2)
    assert bytes_of(make(3, 5, height=64, width=64)) == bytes_of(first)
    for seed, index in ((3, 6), (4, 5)):
        other = make(seed, index, height=64, width=64)
        for image, changed in zip((*first.images, first.ideal), (*other.images, other.ideal), strict=True):
            assert (image != changed).mean() > 0.2


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (61, 130), (101, 37)])
def test_any_size_gives_the_promised_shapes(task: str, height: int, width: int) -> None:
    pair = MAKERS[task](1, 2, height=height, width=width)
    shapes = [(height, width) if channels == 1 else (height, width, 3) for channels in CHANNELS[task]]
    assert [image.shape for image in pair.images] == shapes
    assert pair.ideal.shape == (height, width, 3)
    assert {image.dtype for image in (*pair.images, pair.ideal)} == {np.dtype(np.uint8)}
    assert pair.ideal.std() > 10


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize("arguments", [{"height": 31}, {"width": 8}, {"index": -1}, {"seed": -1}])
def test_unusable_arguments_are_refused(task: str, arguments: dict[str, int]) -> None:
    given = {"seed": 0, "index": 0, "height": 64, "width": 64} | arguments
    seed, index = given.pop("seed"), given.pop("index")
    with pytest.raises(ValueError, match=r"pixels|negative"):
        MAKERS[task](seed, index, **given)


@pytest.mark.parametrize("task", MAKERS)
def test_dataset_is_seeded_lazy_and_splits_share_nothing(task: str) -> None:
    config = IdealPairsConfig.model_validate({"task": task, "train": 3, "val": 2, "test": 2, "height": 48, "width": 64})
    data = IdealPairs(config, None, "train", seed=3)
    assert tuple(data.ids) == ("train_00000", "train_00001", "train_00002")
    sample = data[2]
    assert [tuple(image.shape) for image in sample.images] == [(c, 48, 64) for c in CHANNELS[task]]
    assert sample.label is None
    assert sample.ideal is not None
    assert tuple(sample.ideal.shape) == (3, 48, 64)
    for image in (*sample.images, sample.ideal):
        assert image.dtype == torch.float32
        assert 0 <= float(image.min()) < float(image.max()) <= 1
    # Another order, another length, another object: the same scene.
    other = IdealPairs(config.model_copy(update={"train": 5}), None, "train", seed=3)
    for again in ([other[i] for i in (4, 0, 2)][-1], data[-1]):
        assert again.ideal is not None
        assert torch.equal(again.ideal, sample.ideal)
        assert all(map(torch.equal, again.images, sample.images))
    scenes = [IdealPairs(config, None, split, seed=3)[i] for split in ("train", "val", "test") for i in (0, 1)]  # type: ignore[arg-type]
    scenes.append(IdealPairs(config, None, "train", seed=4)[0])
    ideals = {scene.ideal.numpy().tobytes() for scene in scenes if scene.ideal is not None}
    assert len(ideals) == len(scenes)
    with pytest.raises(IndexError):
        data[3]


@pytest.mark.parametrize("task", MAKERS)
def test_config_says_roles_and_that_it_is_synthetic(task: str) -> None:
    config = IdealPairsConfig.model_validate({"task": task})
    assert config.roles() == ROLES[task]
    assert config.classes() is None
    assert config.missing(None) is None
    provenance = config.provenance()
    assert provenance.synthetic
    assert provenance.labels is None
    assert provenance.name.startswith("synthetic ")
    assert provenance.note.endswith(("photographs.", "scans."))


# The lens.


def test_a_disc_has_the_area_of_its_diameter() -> None:
    for diameter in (1.0, 2.0, 5.0, 8.0, 13.0):
        weight = disc(diameter)
        assert weight.sum() == pytest.approx(1.0)
        if diameter >= 5:
            # The middle of a flat disc weighs one over its area.
            assert weight[len(weight) // 2, len(weight) // 2] == pytest.approx(4 / (np.pi * diameter**2), rel=0.03)
    assert len(disc(1.0)) == 1


def test_a_point_out_of_focus_becomes_a_disc_and_keeps_its_light() -> None:
    light = np.full((41, 41, 3), 0.001, np.float32)
    light[20, 20] = 100.0
    image = defocus(light, np.full((41, 41), 0.1), focus=0.4, strength=30.0)
    assert image.sum() == pytest.approx(light.sum(), rel=1e-3)
    lit = image[..., 1] > 0.1
    assert np.flatnonzero(lit[20]).tolist() == list(range(16, 25))
    assert not lit[16, 16]
    assert lit.sum() == pytest.approx(np.pi * 4.5**2, rel=0.15)


def test_what_is_in_focus_stays_as_it_is() -> None:
    light = np.random.default_rng(0).random((30, 40, 3), np.float32)
    assert np.allclose(defocus(light, np.full((30, 40), 0.2), focus=0.2, strength=50.0), light, atol=1e-6)


def two_planes() -> tuple[np.ndarray, np.ndarray]:
    """A dark thing at 2 m on the left, before something 100 times as bright at 20 m."""
    dioptres, light = np.full((40, 60), 0.05), np.full((40, 60, 3), 1.0, np.float32)
    dioptres[:, :30], light[:, :30] = 0.5, 0.01
    return light, dioptres


def test_a_sharp_edge_in_front_hides_the_blurred_background() -> None:
    light, dioptres = two_planes()
    assert np.allclose(defocus(light, dioptres, focus=0.5, strength=20.0), light, atol=1e-5)


def test_a_blurred_thing_spreads_over_what_is_behind_it() -> None:
    light, dioptres = two_planes()
    image = defocus(light, dioptres, focus=0.05, strength=20.0)[20, :, 1]  # a disc of 9 pixels
    assert np.allclose(image[:25], 0.01, atol=1e-4)
    assert np.allclose(image[35:], 1.0, atol=1e-4)
    assert (np.diff(image[25:35]) > 0).all()
    # Half-way at the edge; nothing of the silhouette remains as a step.
    assert image[29:31].mean() == pytest.approx(0.5, abs=0.03)
    assert np.diff(image).max() < 0.2


def test_no_light_leaks_through_a_surface_that_recedes() -> None:
    """A slope before a bright sky: its layers join without gaps."""
    dioptres = np.repeat(np.linspace(0.05, 0.4, 50)[:, None], 50, axis=1)
    light = np.full((50, 50, 3), 0.01, np.float32)
    dioptres[:8], light[:8] = 0.002, 10.0
    image = defocus(light, dioptres, focus=0.4, strength=25.0)
    assert image[30:].max() < 0.011


def test_focus_lies_on_the_two_planes_of_a_scene_of_two_planes() -> None:
    _, dioptres = two_planes()
    near, far = focus_distances(dioptres)
    assert near == pytest.approx(0.5, abs=0.01)
    assert far == pytest.approx(0.05, abs=0.01)
    assert circle_of_confusion(dioptres, near, 10.0).max() == pytest.approx(4.5, abs=0.1)


# Multi-focus pairs.


def test_picking_the_sharper_photograph_comes_close_to_the_ideal_and_the_mean_does_not() -> None:
    errors = []
    for index in range(8):
        pair = small("multifocus", index)
        ideal = luma(pair.ideal)
        near, far = (luma(image) for image in pair.images)
        best = np.minimum(abs(near - ideal), abs(far - ideal))
        picked = np.where(energy(near) > energy(far), near, far)
        errors.append(
            [abs(e).mean() for e in (best, picked - ideal, (near + far) / 2 - ideal, near - ideal, far - ideal)]
        )
    best_error, pick_error, mean_error, near_error, far_error = np.mean(errors, axis=0)
    assert best_error < 0.02
    assert pick_error < 0.75 * mean_error
    assert mean_error < max(near_error, far_error)


def test_each_photograph_is_sharp_where_its_focus_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, float]] = []

    def recording(light: np.ndarray, dioptres: np.ndarray, focus: float, strength: float) -> np.ndarray:
        seen.append((dioptres, focus))
        return defocus(light, dioptres, focus, strength)

    monkeypatch.setattr("fusekit_scenes.render.focus.defocus", recording)
    ratios = []
    for index in range(8):
        seen.clear()
        pair = focus_pair(7, index, height=SIZE, width=SIZE)
        (dioptres, near_focus), (_, far_focus) = seen
        assert near_focus > far_focus + 0.1
        detail, near, far = (energy(luma(image)) for image in (pair.ideal, *pair.images))
        places = [abs(dioptres - focus) < 0.2 * (near_focus - far_focus) for focus in (near_focus, far_focus)]
        assert min(place.mean() for place in places) > 0.01
        # Flat places look the same in and out of focus.
        at_near, at_far = (place & (detail >= np.percentile(detail[place], 70)) for place in places)
        ratios.append((np.median(near[at_near] / far[at_near]), np.median(far[at_far] / near[at_far])))
        assert min(ratios[-1]) > 1.1
    assert min(np.mean(ratios, axis=0)) > 2


def test_the_noise_of_two_photographs_is_faint_and_their_own() -> None:
    pair = small("multifocus", 0)
    near, far = (image.astype(float) for image in pair.images)
    ideal = pair.ideal.astype(float)
    flat = (energy(luma(pair.ideal)) < 1e-5)[..., None] & (ideal > 40) & (ideal < 250)
    # Differences from pixel to pixel of a flat place are noise.
    noises = [np.diff(image - ideal, axis=1)[flat[:, 1:]] for image in (near, far)]
    assert all(0.2 < noise.std() / np.sqrt(2) < 4 for noise in noises)
    assert abs(np.corrcoef(noises[0], noises[1])[0, 1]) < 0.3


# Multi-exposure pairs.


def test_each_exposure_shows_what_the_other_loses() -> None:
    for index in range(8):
        pair = small("multiexposure", index)
        under, over = (image.max(axis=2) for image in pair.images)
        assert (under == 255).mean() < 0.015
        assert (over <= 8).mean() < 0.001
        assert (over == 255).mean() > 0.03
        # Where the bright one is white, the dark one still tells levels apart, and the other way round.
        white = pair.images[1].min(axis=2) == 255
        assert white.mean() > 0.01
        assert np.ptp(np.percentile(luma(pair.images[0])[white], [5, 95])) > 0.03
        ideal = luma(pair.ideal)
        shade = ideal < np.percentile(ideal, 30)
        relations = [np.corrcoef(luma(image)[shade], ideal[shade])[0, 1] for image in pair.images]
        assert relations[1] > relations[0]


def test_the_ideal_exposure_clips_nothing_and_is_neither_dark_nor_pale() -> None:
    for index in range(8):
        ideal = small("multiexposure", index).ideal
        assert (ideal == 255).mean() == 0
        assert (ideal == 0).mean() < 0.001
        assert 50 < ideal.mean() < 140
        assert luma(ideal).std() > 0.08


def test_exposures_are_stops_apart_and_anchored() -> None:
    ramp = np.repeat(np.geomspace(0.001, 1.0, 1001, dtype=np.float32)[:, None, None], 3, axis=2)
    under, over = exposure_gains(ramp)
    highlight, shadow = 10**-0.03, 10**-2.7
    assert under * highlight == pytest.approx(0.45, rel=0.02)
    assert over * shadow == pytest.approx(0.06, rel=0.02)
    flat_under, flat_over = exposure_gains(np.full((8, 8, 3), 0.2, np.float32))
    assert np.log2(flat_over / flat_under) == pytest.approx(4.0)
    wide_under, wide_over = exposure_gains(ramp**4)
    assert np.log2(wide_over / wide_under) == pytest.approx(8.0)


def test_the_tone_curve_keeps_order_and_meets_its_mean() -> None:
    ramp = np.repeat(np.geomspace(1e-3, 50.0, 500, dtype=np.float32)[:, None, None], 3, axis=2)
    shown = tone_map(ramp, 0.14)
    assert (np.diff(shown[:, 0, 0]) >= 0).all()
    assert shown.max() == pytest.approx(0.985)
    assert shown[250, 0, 0] == pytest.approx(0.14, abs=0.02)


# Medical pairs.


def head_mask(mri: np.ndarray) -> np.ndarray:
    """Columns and rows between the first and the last bright pixel, ``(H, W)`` bool."""
    bright = blur((mri > 60).astype(np.float32), 1.0) > 0.3
    across = np.maximum.accumulate(bright, axis=1) & np.maximum.accumulate(bright[:, ::-1], axis=1)[:, ::-1]
    down = np.maximum.accumulate(bright, axis=0) & np.maximum.accumulate(bright[::-1], axis=0)[::-1]
    return across & down


def test_every_head_has_the_parts_of_a_head() -> None:
    lesions = 0
    for index in range(6):
        section = brain_slice(camera_rng(7, index, "medical"))
        share = np.bincount(section.tissue.ravel(), minlength=len(Tissue)) / section.tissue.size
        assert 0.30 < share[Tissue.AIR] < 0.60
        assert 0.5 < share[Tissue.GREY] / share[Tissue.WHITE] < 2.2
        assert share[Tissue.FLUID] > 0.02
        assert min(share[[Tissue.SKIN, Tissue.FAT, Tissue.BONE, Tissue.MARROW]]) > 0.01
        lesions += share[Tissue.LESION] > 0
        # Nothing of the head touches the border.
        assert (section.tissue[[0, -1]] == Tissue.AIR).all()
        assert (section.tissue[:, [0, -1]] == Tissue.AIR).all()
    assert 0 < lesions < 6


def test_pet_is_soft_and_black_outside_the_head() -> None:
    for index in range(6):
        pair = small("medical", index)
        mri, pet = pair.images
        outside = ~head_mask(mri)
        assert outside.mean() > 0.2
        assert luma(pet)[outside].max() < 0.03
        assert pet.max() > 150
        spectra = [abs(np.fft.rfft2(luma(image) - luma(image).mean())) ** 2 for image in (mri, pet)]
        fine = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :]) > 0.18
        shares = [spectrum[fine].sum() / spectrum.sum() for spectrum in spectra]
        assert shares[1] < 0.01
        assert shares[0] > 8 * shares[1]


def test_activity_is_high_in_grey_matter_low_in_white_and_none_in_fluid() -> None:
    with_ventricle = 0
    for index in range(6):
        tissue = brain_slice(camera_rng(7, index, "medical")).tissue
        # The grid has four cells per pixel and axis; take pixels that hold one tissue alone.
        blocks = tissue.reshape(SIZE, 4, SIZE, 4).transpose(0, 2, 1, 3).reshape(SIZE, SIZE, 16)
        pure = np.where((blocks == blocks[..., :1]).all(axis=2), blocks[..., 0], 255)
        activity = luma(small("medical", index).images[1])
        grey, white = (activity[pure == kind].mean() for kind in (Tissue.GREY, Tissue.WHITE))
        middle = np.s_[SIZE // 4 : -SIZE // 4]
        ventricle = activity[middle, middle][pure[middle, middle] == Tissue.FLUID]
        assert grey > 1.3 * white
        if len(ventricle) > 40:
            assert ventricle.mean() < 0.8 * grey
            with_ventricle += 1
        assert activity[np.isin(pure, (Tissue.BONE, Tissue.FAT, Tissue.SKIN))].mean() < 0.25 * grey
    assert with_ventricle >= 3


def test_the_ideal_has_the_detail_of_the_mri_and_the_activity_of_the_pet() -> None:
    def relation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    figures = []
    for index in range(6):
        pair = small("medical", index)
        mri, pet, ideal = (luma(image) for image in (*pair.images, pair.ideal))
        details = [image - blur(image, 1.6) for image in (mri, pet, ideal)]
        colour = [image[..., 0].astype(float) - image[..., 2] for image in (pair.images[1], pair.ideal)]
        figures.append(
            (
                relation(mri, ideal),
                relation(pet, ideal),
                relation(details[0], details[2]),
                relation(colour[0], colour[1]),
            )
        )
    assert (np.min(figures, axis=0) > (0.6, 0.4, 0.9, 0.6)).all()


def test_the_colour_map_has_the_activity_as_its_luminance() -> None:
    activity = np.linspace(0, 1, 501, dtype=np.float32)[None, :]
    colour = join_chroma(activity, activity_chroma(activity))
    assert np.allclose(colour @ LUMA, activity, atol=1e-5)
    assert colour.min() >= 0
    assert colour.max() <= 1
    blue, red, yellow = (colour[0, int(500 * share)] for share in (0.12, 0.46, 0.84))
    assert blue.argmax() == 2
    assert red.argmax() == 0
    assert min(yellow[:2]) > yellow[2] + 0.3


def test_chroma_gives_way_to_luminance() -> None:
    wanted = np.tile(np.array([0.4, 0.3]), (1, 3, 1))
    colour = join_chroma(np.array([[0.0, 0.5, 0.95]]), wanted)
    assert np.allclose(colour @ LUMA, [[0.0, 0.5, 0.95]], atol=1e-6)
    assert np.ptp(colour[0, 1]) > np.ptp(colour[0, 2]) > np.ptp(colour[0, 0]) == 0
