"""Attribution weights with known answers, on scenes in which one source alone shows an object."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from fusekit.interfaces import BuildContext, RegionAttribution, SegmentationNetwork
from fusekit_uaafusion.attribution import (
    AttributionGuidance,
    TaskGuidance,
    attribution_weights,
    one_hot_share,
    with_floor,
)
from fusekit_uaafusion.config import AttributionGuidanceConfig, StageConfig, UnfoldingConfig
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import class_table

Unlabelled = Literal["region", "equal", "brightest"]


class Warm(SegmentationNetwork):
    """Class 1 has the score 4x of its pixel, class 0 the score 1e-4 x: linear, so attributions are known."""

    def __init__(self) -> None:
        super().__init__(None, BuildContext(classes=class_table(3)))
        self.scale = torch.nn.Parameter(torch.tensor([1e-4, 4.0, 0.0]))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale[None, :, None, None]


def object_in(source: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """A square of class 1 that is 0.8 in one source and 0.2 in the other; elsewhere 0.1 on the left, 0.3 on the right
    in the first source, and the reverse in the second.
    """
    first, second = torch.full((1, 1, 8, 8), 0.1), torch.full((1, 1, 8, 8), 0.3)
    first[..., 4:], second[..., 4:] = 0.3, 0.1
    images, labels = (first, second), torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 2:4, 1:3] = 1
    for index, image in enumerate(images):
        image[:, 0][labels == 1] = 0.8 if index == source else 0.2
    return images, labels


def weights(source: int, unlabelled: Unlabelled = "region", floor: float = 0.0, label: bool = True) -> Tensor:
    images, labels = object_in(source)
    guidance = TaskGuidance(Warm(), images, labels if label else None, unlabelled=unlabelled, floor=floor)
    return attribution_weights(guidance)


@pytest.mark.parametrize("source", [0, 1])
@pytest.mark.parametrize("unlabelled", ["region", "equal", "brightest"])
@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_the_source_that_shows_the_object_has_its_share_there(
    source: int, unlabelled: Unlabelled, floor: float
) -> None:
    """On a linear network the attribution of a region is its mean, so the weight is 0.8 / (0.8 + 0.2)."""
    inside = object_in(source)[1] == 1
    found = weights(source, unlabelled, floor)[:, source][inside]
    torch.testing.assert_close(found, torch.full_like(found, 0.8), rtol=1e-3, atol=0)


def test_without_a_floor_scores_of_no_consequence_decide() -> None:
    """Infrared is brighter outside of the object on average, at scores of a millionth of the object's."""
    images, labels = object_in(1)
    elsewhere = labels == 0
    means = [image[:, 0][elsewhere].mean() for image in images]
    plain = weights(1)[:, 0][elsewhere]
    scores = [1e-4 * mean / elsewhere.sum() + 1e-8 for mean in means]
    torch.testing.assert_close(plain, torch.full_like(plain, float(scores[0] / sum(scores))), rtol=1e-3, atol=0)
    assert abs(float(plain[0]) - 0.5) > 0.01
    floored = weights(1, floor=0.001)[:, 0][elsewhere]
    torch.testing.assert_close(floored, torch.full_like(floored, 0.5), rtol=0, atol=1e-4)


def test_the_floor_is_relative_to_the_largest_score_of_each_image() -> None:
    scores = torch.tensor([[[1.0, 0.0], [0.5, 0.0]], [[0.01, 0.0], [0.0, 0.0]]])
    floored = with_floor(RegionAttribution(scores, torch.zeros(2, 4, 4, dtype=torch.int64)), 0.1).scores
    torch.testing.assert_close(floored, scores + torch.tensor([0.1, 0.001])[:, None, None])


def test_without_the_unlabelled_class_its_pixels_have_equal_weights() -> None:
    elsewhere = object_in(0)[1] == 0
    assert bool((weights(0, "equal")[:, 0][elsewhere] == 0.5).all())


@pytest.mark.parametrize("label", [True, False])
def test_the_brightest_source_has_the_weight_of_unlabelled_pixels(label: bool) -> None:
    """With and without labels; without, the network predicts class 1 everywhere and nothing is unlabelled."""
    images, labels = object_in(0)
    found = weights(0, "brightest", label=label)
    assert bool((found.sum(dim=1) - 1).abs().max() < 1e-6)
    elsewhere = labels == 0
    brighter = images[0][:, 0] > images[1][:, 0]
    if label:
        torch.testing.assert_close(found[:, 0][elsewhere], brighter[elsewhere].float(), rtol=0, atol=1e-6)
    else:
        assert 0.4 < float(found[:, 0].mean()) < 0.7


def test_the_brightest_regions_have_names_and_scores_of_their_own() -> None:
    images, labels = object_in(0)
    attribution = TaskGuidance(Warm(), images, labels, unlabelled="brightest").attribution()
    assert attribution.names == ("class 0", "class 1", "class 2", *attribution.names[3:])
    assert len(attribution.names) == attribution.scores.shape[2] == 5
    assert attribution.scores[0, :, 3:].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_options_reach_the_guidance() -> None:
    images, labels = object_in(0)
    config = AttributionGuidanceConfig(unlabelled="equal", floor=0.01)
    made = AttributionGuidance(config).of(Warm(), images, labels)
    assert (made.unlabelled, made.floor) == ("equal", 0.01)
    defaults = AttributionGuidance(AttributionGuidanceConfig()).of(Warm(), images, labels)
    assert (defaults.unlabelled, defaults.floor) == ("region", 0.0), "the defaults are the paper's"


def test_one_hot_share_counts_pixels_that_one_source_decides() -> None:
    first = torch.tensor([[1.0, 0.995], [0.5, 0.002]])
    assert one_hot_share(torch.stack([first, 1 - first])[None]) == pytest.approx(0.75)


def test_without_attention_a_stage_does_not_run_the_task_network() -> None:
    images, labels = object_in(0)
    context = BuildContext(
        roles=("infrared", "visible"), builder=lambda kind, ref: AttributionStage(StageConfig(**ref.params))
    )

    def fuse(attention: bool) -> tuple[Tensor, int]:
        torch.manual_seed(0)
        stage = {"use": "uaafusion.stage", "params": {"channels": 4, "attention": attention}}
        backbone = UnfoldingBackbone(
            UnfoldingConfig.model_validate({"stages": 3, "channels": 4, "stage": stage}), context
        )
        calls = 0
        guidance = TaskGuidance(Warm(), images, labels)
        gradient = guidance.task_gradient

        def counted(image: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return gradient(image) * 1e3

        guidance.task_gradient = counted  # type: ignore[method-assign]
        return backbone(images, guidance=guidance).image, calls

    (with_it, asked), (without, never) = fuse(True), fuse(False)
    assert (asked, never) == (2, 0)
    assert not torch.allclose(with_it, without)
