"""Paired geometry: whatever happens to one plane happens to all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, pad

from fusekit.data.transforms import (
    Window,
    crop,
    flip,
    random_flip,
    random_window,
    reflect_pad,
    resize,
    sample_size,
    swap_sources,
)
from fusekit.errors import DataError
from fusekit.interfaces.dataset import Sample
from fusekit.seeds import stream, stream_seed


def coordinates(height: int = 24, width: int = 30) -> Sample:
    """A scene whose every plane says where each pixel came from."""
    place = torch.arange(height * width).view(1, height, width)
    plane = place.float() / (height * width)
    return Sample("s", (plane, plane.repeat(3, 1, 1), plane), place[0])


def planes_agree(sample: Sample, count: int) -> bool:
    assert sample.label is not None
    wanted = sample.label.float() / count
    return all(torch.equal(image, wanted.expand_as(image)) for image in sample.images)


@pytest.mark.parametrize("seed", range(5))
def test_random_geometry_is_the_same_for_all(seed: int) -> None:
    random = stream(seed, "test")
    sample = crop(coordinates(), random_window(24, 30, 16, random))
    sample = reflect_pad(random_flip(sample, random), 21)
    assert sample_size(sample) == (21, 21)
    assert planes_agree(sample, 24 * 30)


def test_crop_and_flip_known_answers() -> None:
    sample = coordinates(4, 5)
    assert sample.label is not None
    cut = crop(sample, Window(1, 2, 2, 3))
    assert cut.label is not None
    assert cut.label.tolist() == [[7, 8, 9], [12, 13, 14]]
    for horizontal, vertical, first in [
        (True, False, 4),
        (False, True, 15),
        (True, True, 19),
        (False, False, 0),
    ]:
        flipped = flip(sample, horizontal=horizontal, vertical=vertical)
        assert flipped.label is not None
        assert int(flipped.label[0, 0]) == first
        assert planes_agree(flipped, 20)


def test_windows_reach_every_place_and_stay_inside() -> None:
    random = np.random.default_rng(0)
    places = {(w.top, w.left) for w in (random_window(18, 19, 16, random) for _ in range(300))}
    assert places == {(top, left) for top in range(3) for left in range(4)}


def test_flips_are_fair() -> None:
    random, sample = np.random.default_rng(0), coordinates(2, 2)
    corners = [int(random_flip(sample, random).label[0, 0]) for _ in range(400)]  # type: ignore[index]
    assert all(70 < corners.count(corner) < 130 for corner in range(4))


def test_resize_is_smooth_for_images_and_nearest_for_labels() -> None:
    sample = coordinates(24, 30)
    for size in [(12, 15), (48, 60), (17, 31)]:
        scaled = resize(sample, size)
        assert scaled.label is not None
        assert sample.label is not None
        assert all(tuple(image.shape[-2:]) == size for image in scaled.images)
        wanted = interpolate(sample.label[None, None].double(), size, mode="nearest-exact")[0, 0]
        assert torch.equal(scaled.label, wanted.long())
        assert set(scaled.label.unique().tolist()) <= set(sample.label.unique().tolist())
    # at a third of the size, plain bilinear sampling would hit single squares of a chessboard
    checker = (torch.arange(48)[:, None] + torch.arange(48)) % 2
    antialiased = resize(Sample("c", (checker[None].float(),)), (16, 16)).images[0]
    assert (antialiased[:, 2:-2, 2:-2] - 0.5).abs().max() < 0.05
    assert resize(sample, (24, 30)) is sample


def test_reflection_is_that_of_torch() -> None:
    sample = coordinates(17, 20)
    padded = reflect_pad(sample, 32)
    assert torch.equal(padded.images[1], pad(sample.images[1][None], (6, 6, 7, 8), mode="reflect")[0])
    assert planes_agree(padded, 17 * 20)
    assert reflect_pad(sample, 16) is sample
    assert sample_size(reflect_pad(sample, 18)) == (18, 20)
    with pytest.raises(DataError, match="less than half"):
        reflect_pad(sample, 35)


def test_swap_keeps_everything_but_the_order() -> None:
    sample = coordinates()
    swapped = swap_sources(sample)
    assert swapped.images == sample.images[::-1]
    assert swapped.label is sample.label


def test_streams_differ_by_every_name() -> None:
    names: list[tuple[str | int, ...]] = [
        (),
        ("a",),
        ("b",),
        ("a", "b"),
        ("ab",),
        ("a", 1),
        ("a", "1"),
        ("a", 11),
    ]
    seeds = {stream_seed(root, *name) for name in names for root in (0, 1)}
    assert len(seeds) == 2 * len(names)
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_stream_seeds_are_the_same_for_ever() -> None:
    """A change of these numbers would change every training that is repeated from its recipe."""
    assert stream_seed(0, "shuffle", "train", 3) == SHUFFLE_TRAIN_3


SHUFFLE_TRAIN_3 = 6650730643480429627
