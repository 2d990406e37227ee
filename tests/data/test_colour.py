"""The colour policy: known answers."""

from __future__ import annotations

import pytest
import torch

from fusekit.data.colour import chroma, is_grey, join, luminance, restore_colour
from fusekit.errors import UsageError


@pytest.fixture
def visible() -> torch.Tensor:
    return torch.rand(3, 17, 23, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def infrared() -> torch.Tensor:
    return torch.rand(1, 17, 23, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("rgb", "y", "cb", "cr"),
    [
        ((1.0, 0.0, 0.0), 0.299, 0.5 - 0.299 / 1.772, 1.0),
        ((0.0, 1.0, 0.0), 0.587, 0.5 - 0.587 / 1.772, 0.5 - 0.587 / 1.402),
        ((0.0, 0.0, 1.0), 0.114, 1.0, 0.5 - 0.114 / 1.402),
        ((1.0, 1.0, 1.0), 1.0, 0.5, 0.5),
        ((0.0, 0.0, 0.0), 0.0, 0.5, 0.5),
    ],
)
def test_primaries(rgb: tuple[float, ...], y: float, cb: float, cr: float) -> None:
    image = torch.tensor(rgb).view(3, 1, 1)
    assert luminance(image).item() == pytest.approx(y, abs=1e-6)
    assert chroma(image).flatten().tolist() == pytest.approx([cb, cr], abs=1e-6)


def test_grey_is_known_and_its_luminance_is_exact(infrared: torch.Tensor, visible: torch.Tensor) -> None:
    tripled = infrared.repeat(3, 1, 1)
    assert is_grey(infrared)
    assert is_grey(tripled)
    assert not is_grey(visible)
    assert torch.equal(luminance(tripled), infrared)
    assert torch.equal(luminance(infrared), infrared)
    assert torch.equal(chroma(infrared), torch.full((2, 17, 23), 0.5))


def test_luma_and_chroma_join_to_the_image(visible: torch.Tensor) -> None:
    for image in (visible, visible[None].repeat(2, 1, 1, 1)):
        assert torch.allclose(join(luminance(image), chroma(image)), image, atol=1e-6, rtol=0)


def test_the_luma_of_the_visible_image_gives_it_back(visible: torch.Tensor, infrared: torch.Tensor) -> None:
    restored = restore_colour(luminance(visible), (infrared, visible))
    assert (restored - visible).abs().max() < 1e-6


def test_eight_bit_colours_come_back_exactly() -> None:
    axis = torch.arange(0, 256, 5, dtype=torch.float32) / 255
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, 52, -1)
    restored = restore_colour(luminance(cube), (cube,))
    assert torch.equal((restored * 255).round(), (cube * 255).round())


def test_no_colour_stays_grey(infrared: torch.Tensor) -> None:
    fused = 1 - infrared
    assert restore_colour(fused, (infrared, infrared.repeat(3, 1, 1))) is fused


def test_the_more_saturated_source_decides(visible: torch.Tensor) -> None:
    half = join(luminance(visible), 0.5 + 0.5 * (chroma(visible) - 0.5))
    fused = torch.full((1, 17, 23), 0.5)
    colour = chroma(join(fused, 0.5 + (2 / 3 * 1 + 1 / 3 * 0.5) * (chroma(visible) - 0.5)))
    restored = restore_colour(fused, (visible, half))
    inside = ((restored > 0) & (restored < 1)).all(dim=0)  # the clipped rest has lost its chroma
    assert inside.float().mean() > 0.2
    assert torch.allclose(chroma(restored)[:, inside], colour[:, inside], atol=1e-5)


def test_a_source_neutral_at_a_pixel_leaves_it_to_the_others() -> None:
    red = torch.tensor([0.8, 0.4, 0.4]).view(3, 1, 1).repeat(1, 16, 16)
    partly = red.clone()
    partly[:, :8] = 0.5
    fused = luminance(red)
    assert torch.allclose(restore_colour(fused, (red, partly)), red, atol=1e-6)
    both_neutral = partly.clone()
    both_neutral[0, 8] = 0.9
    assert torch.allclose(restore_colour(fused, (partly, both_neutral))[:, :8], fused[:, :8], atol=1e-6)


def test_batches_and_errors(visible: torch.Tensor, infrared: torch.Tensor) -> None:
    batch = torch.stack([visible, visible.flip(-1)])
    restored = restore_colour(luminance(batch), (infrared[None].repeat(2, 1, 1, 1), batch))
    assert torch.allclose(restored, batch, atol=1e-6)
    with pytest.raises(UsageError, match="cannot be applied"):
        restore_colour(infrared, (visible[..., :20],))
    with pytest.raises(UsageError, match="1 or 3"):
        luminance(torch.zeros(2, 16, 16))
