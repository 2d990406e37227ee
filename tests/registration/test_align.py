"""Alignment: known shifts and homographies are found, registered pairs raise no alarm, nonsense is refused."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusekit.errors import DataError, UsageError
from fusekit.registration.shift import Shift, looks_shifted
from tests.paths import shared_data

pytestmark = pytest.mark.slow

SIDE = 420


def world(seed: int = 0, height: int = SIDE, width: int = SIDE) -> Any:
    """A function of (x, y): a scene of smooth blobs and hard edges that can be looked at anywhere, exactly."""
    rng = np.random.default_rng(seed)
    blobs = [(*rng.uniform(-0.2, 1.2, 2), rng.uniform(8, 40), rng.uniform(-1, 1)) for _ in range(40)]
    discs = [(*rng.uniform(-0.2, 1.2, 2), rng.uniform(6, 40), rng.uniform(-0.6, 0.6)) for _ in range(45)]

    def look(x: Any, y: Any) -> Any:
        value = np.full(np.shape(x), 0.5)
        for cx, cy, size, height_of in blobs:
            value += 0.3 * height_of * np.exp(-((x - cx * width) ** 2 + (y - cy * height) ** 2) / (2 * size**2))
        for cx, cy, radius, level in discs:
            away = np.hypot(x - cx * width, y - cy * height)
            value += level / (1 + np.exp(((away - radius) / 0.8).clip(-50, 50)))
        return 1 / (1 + np.exp(-2.5 * (value - 0.5)))

    return look


def picture(
    look: Any, matrix: Any = None, size: tuple[int, int] = (320, 360), noise: float = 0.01, seed: int = 1
) -> Tensor:
    """(1, H, W): what a camera sees whose pixel (x, y) looks at `matrix` applied to (x, y) + 30."""
    matrix = np.eye(3) if matrix is None else matrix
    rows, columns = np.mgrid[: size[0], : size[1]].astype(float)
    x, y, w = (matrix[k, 0] * columns + matrix[k, 1] * rows + matrix[k, 2] for k in range(3))
    seen = look(x / w + 30, y / w + 30) + np.random.default_rng(seed).normal(0, noise, size)
    return torch.from_numpy(seen.clip(0, 1)).float()[None]


def moved(dx: float, dy: float) -> Any:
    """The camera matrix that shows content `dx` further right and `dy` further down."""
    return np.array([[1, 0, -dx], [0, 1, -dy], [0, 0, 1.0]])


# -- does it look shifted? -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dx", "dy"), [(6, 0), (0, -9), (-13, 5), (4.5, 3.25), (40, -30), (4, -4)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_shift_is_seen_across_modalities(dx: float, dy: float, inverted: bool) -> None:
    look = world()
    reference, moving = picture(look), picture(look, moved(dx, dy), seed=2)
    found = looks_shifted(reference, 1 - moving**2 if inverted else moving.expand(3, -1, -1))
    assert found is not None
    assert (found.dx, found.dy) == pytest.approx((dx, dy), abs=0.5)
    assert found.confidence > 1.8


def test_large_images_are_told_in_their_own_pixels() -> None:
    look = world(height=1100, width=1300)
    size = (1000, 1200)
    found = looks_shifted(picture(look, size=size), picture(look, moved(12, -30), size=size, seed=2))
    assert found is not None
    assert (found.dx, found.dy) == pytest.approx((12, -30), abs=1.0)


@pytest.mark.parametrize("shift", [(0, 0), (0.7, -0.4), (1.5, 0)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_registered_pair_raises_no_alarm(shift: tuple[float, float], inverted: bool) -> None:
    look = world(3)
    moving = picture(look, moved(*shift), seed=2, noise=0.03)
    assert looks_shifted(picture(look), 1 - moving if inverted else moving) is None


def texture(seed: int) -> Tensor:
    """(1, H, W) of noise with the spectrum of natural scenes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(320)[:, None], np.fft.fftfreq(360)[None]
    spectrum = np.fft.fft2(rng.normal(size=(320, 360))) / (np.hypot(rows, columns) + 1e-2)
    values = np.fft.ifft2(spectrum).real
    return torch.from_numpy((values - values.min()) / np.ptp(values)).float()[None]


def test_pairs_with_nothing_in_common_raise_no_alarm() -> None:
    generator = torch.Generator().manual_seed(0)
    scenes = [picture(world()), *(texture(seed) for seed in range(5))]
    scenes += [torch.rand(1, 320, 360, generator=generator) for _ in range(2)]
    scenes += [torch.zeros(1, 320, 360), torch.full((1, 320, 360), 0.7)]
    alarms = [(i, j) for i in range(len(scenes)) for j in range(len(scenes)) if i != j and _alarm(scenes[i], scenes[j])]
    assert not alarms


def _alarm(reference: Tensor, moving: Tensor) -> bool:
    return looks_shifted(reference, moving) is not None


def test_small_images_and_other_sizes() -> None:
    tiny = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert looks_shifted(tiny, tiny) is None
    with pytest.raises(UsageError, match="same size"):
        looks_shifted(tiny, torch.zeros(1, 16, 20))


def test_a_shift_is_told_in_words() -> None:
    assert Shift(3.21, 0.96, 2.0).text == "3.2 px right, 1.0 px down"
    assert Shift(-3.0, 0.01, 2.0).text == "3.0 px left"
    assert Shift(0.0, -2.5, 2.0).text == "2.5 px up"


def real_pairs(every: int) -> list[tuple[Any, Any]]:
    """One in `every` registered pairs of the shared folder."""
    root = shared_data()
    if root is None:
        pytest.skip("the folder of real image pairs is not there (tests/paths.py says where it is looked for)")
    names = ("ir", "vi", "mri", "ct", "pet", "spect", "a", "b", "under", "over")
    found = []
    for split in sorted([*root.glob("*/*"), *root.glob("medical/*/*")]):
        folders = sorted(child for child in split.iterdir() if child.name in names) if split.is_dir() else []
        if len(folders) != 2:
            continue
        first, second = ({path.stem: path for path in folder.iterdir()} for folder in folders)
        found += [(first[stem], second[stem]) for stem in sorted(first.keys() & second.keys())]
    return found[::every]


def read_grey(path: Any) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("L"), np.float32) / 255)[None]


@pytest.mark.slow
def test_real_pairs_raise_few_alarms_until_they_are_shifted() -> None:
    pairs = real_pairs(every=5)
    false, caught = [], []
    for number, paths in enumerate(pairs):
        reference, moving = map(read_grey, paths)
        if _alarm(reference, moving):
            false.append(paths[0])
        dx, dy = ((12, 0), (0, 9), (7, 7), (15, -8))[number % 4]
        height, width = reference.shape[-2:]
        rows = slice(max(0, dy), height + min(0, dy)), slice(max(0, -dy), height + min(0, -dy))
        columns = slice(dx, width), slice(0, width - dx)
        caught.append(_alarm(reference[:, rows[0], columns[0]], moving[:, rows[1], columns[1]]))
    assert len(pairs) > 100
    assert len(false) <= 0.01 * len(pairs) + 1, false
    assert np.mean(caught) > 0.4


# -- alignment by OpenCV ---------------------------------------------------------------------------------------------

needs_cv2 = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None,
    reason="alignment needs OpenCV: pip install 'image-fusekit[align]'",
)


def corner_error(matrix: Any, truth: Any, size: tuple[int, int]) -> float:
    """Greatest distance, in pixels, between where two matrices take the corners."""
    corners = np.array([[0, 0, 1], [size[1] - 1, 0, 1], [0, size[0] - 1, 1], [size[1] - 1, size[0] - 1, 1.0]])
    first, second = corners @ matrix.T, corners @ truth.T
    return float(np.abs(first[:, :2] / first[:, 2:] - second[:, :2] / second[:, 2:]).max())


@needs_cv2
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3.2, 1.0), (-0.4, 0.25), (17.5, -11.3), (-45, 30)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_known_shift_is_found_below_a_pixel(dx: float, dy: float, inverted: bool) -> None:
    from fusekit.registration.align import estimate

    look = world()
    moving = picture(look, moved(dx, dy), seed=2)
    found = estimate(picture(look), (1 - moving) ** 1.5 if inverted else moving, "shift")
    assert found.kind == "shift"
    assert np.allclose(found.matrix, moved(-dx, -dy), atol=0.1)
    assert found.after >= found.before - 0.01
    assert found.after > 0.7
    if abs(dx) > 1:
        assert found.after > found.before + 0.1
        assert found.text == f"shift {Shift(found.matrix[0, 2], found.matrix[1, 2], 1).text}"


TILTED = np.array([[1.02, 0.015, -7.0], [-0.012, 0.985, 5.0], [4e-5, -3e-5, 1.0]])


@needs_cv2
@pytest.mark.parametrize("inverted", [False, True])
def test_a_known_homography_is_found(inverted: bool) -> None:
    from fusekit.registration.align import covered, estimate, warp

    look = world()
    reference, moving = picture(look), picture(look, TILTED, seed=2)
    found = estimate(reference, 1 - moving if inverted else moving, "homography")
    # the camera's matrix takes its pixels to the scene; the alignment takes the reference's, which are the scene's,
    # to the camera's
    assert corner_error(found.matrix, np.linalg.inv(TILTED), (320, 360)) < 0.7
    assert found.text.startswith("homography, corners move by up to ")
    assert float(found.text.split()[-2]) == pytest.approx(
        float(np.linalg.norm(found.corner_moves, axis=1).max()), abs=0.06
    )
    laid = warp(moving[0].numpy(), found)
    mask, (top, left, bottom, right) = covered(found)
    assert mask[top:bottom, left:right].all()
    assert (bottom - top) * (right - left) > 0.85 * mask.size
    inner = (slice(top + 2, bottom - 2), slice(left + 2, right - 2))
    assert np.abs(laid - reference[0].numpy())[inner].mean() < 0.012
    assert np.abs(moving[0].numpy() - reference[0].numpy())[inner].mean() > 0.015


@needs_cv2
@pytest.mark.parametrize("kind", ["shift", "homography"])
@pytest.mark.parametrize(
    ("size", "moving_size"),
    [
        ((320, 360), (160, 180)),
        ((240, 426), (256, 320)),
        ((256, 320), (270, 480)),
    ],
)
def test_pairs_of_different_size_with_the_same_middle(kind: Any, size: Any, moving_size: Any) -> None:
    """Half the size, and two aspect ratios both ways."""
    from fusekit.registration.align import covered, estimate, warp

    look = world(5)
    shrink = min(moving_size[0] / size[0], moving_size[1] / size[1])
    middle = [(m - 1) / 2 - shrink * (n - 1) / 2 for m, n in zip(moving_size[::-1], size[::-1], strict=True)]
    to_moving = np.array([[shrink, 0, middle[0]], [0, shrink, middle[1]], [0, 0, 1]]) @ moved(-6, 4)
    moving = picture(look, np.linalg.inv(to_moving), moving_size, seed=2)
    found = estimate(picture(look, size=size), moving, kind)
    assert corner_error(found.matrix, to_moving, size) < (0.25 if kind == "shift" else 1.0)
    assert f"scaled by {1 / shrink:.3f}" in found.text
    assert warp(np.zeros((*moving_size, 3), np.uint16), found).shape == (*size, 3)
    assert covered(found)[0].mean() > 0.9


@needs_cv2
def test_images_that_cannot_be_aligned_are_refused() -> None:
    from fusekit.registration.align import estimate

    scene = picture(world())
    flat, noise = torch.full_like(scene, 0.4), torch.rand(scene.shape, generator=torch.Generator().manual_seed(0))
    for other, kind in [(flat, "shift"), (flat, "homography"), (noise, "shift"), (noise, "homography")]:
        for first, second in [(scene, other), (other, scene)]:
            with pytest.raises(DataError, match=r"flat|could not be registered"):
                estimate(first, second, kind)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="could not be registered"):
        estimate(scene, picture(world(9), seed=2), "homography")
    with pytest.raises(DataError, match="could not be registered"):
        estimate(scene, picture(world(), moved(170, 0), seed=2), "shift")


@needs_cv2
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_warping_keeps_every_bit(dtype: Any, channels: tuple[int, ...]) -> None:
    from fusekit.registration.align import Alignment, covered, warp

    rng = np.random.default_rng(0)
    shape = (40, 50, *channels)
    pixels = (
        rng.random(shape).astype(dtype) if dtype == np.float32 else rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    )
    by = Alignment("shift", moved(-3, 2), np.eye(3), (40, 50), (40, 50), 0.0, 1.0)
    laid = warp(pixels, by)
    assert laid.dtype == pixels.dtype
    assert laid.shape == pixels.shape
    assert np.array_equal(laid[2:, :-3], pixels[:-2, 3:])
    mask, box = covered(by)
    assert box == (2, 0, 40, 47)
    assert mask.sum() == 38 * 47
    half = Alignment("shift", moved(-0.5, 0), np.eye(3), (40, 50), (40, 50), 0.0, 1.0)
    middle = (pixels[:, :-1].astype(np.float64) + pixels[:, 1:]) / 2
    assert np.abs(warp(pixels, half)[:, :-1] - middle).max() <= (1e-6 if dtype == np.float32 else 0.5)
    still = Alignment("shift", np.eye(3), np.eye(3), (40, 50), (40, 50), 1.0, 1.0)
    assert np.array_equal(warp(pixels, still), pixels)
    assert covered(still)[1] == (0, 0, 40, 50)


@needs_cv2
def test_warping_refuses_other_sizes_and_types() -> None:
    from fusekit.registration.align import Alignment, warp

    by = Alignment("shift", np.eye(3), np.eye(3), (40, 50), (40, 50), 1.0, 1.0)
    for pixels, cause in (
        (np.zeros((40, 51), np.uint8), "the registration is for images of"),
        (np.zeros((40, 50), np.float64), "can be warped, not float64"),
        (np.zeros((1, 40, 50, 3), np.uint8), r"can be warped, not uint8 \(1, 40"),
    ):
        with pytest.raises(UsageError, match=cause):
            warp(pixels, by)


def test_a_missing_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusekit.registration.align import estimate

    monkeypatch.setitem(sys.modules, "cv2", None)
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match="OpenCV") as raised:
        estimate(image, image)
    assert "image-fusekit[align]" in str(raised.value.hint)
