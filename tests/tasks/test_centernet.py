"""CenterNet: targets, loss and decoding against known answers, and what it refuses."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusekit.errors import FusekitError
from fusekit.interfaces import Batch, Boxes, BuildContext
from fusekit_tasks.centernet import STRIDE, CenterNet, Target, decode, encode, focal_loss, gaussian_radius
from fusekit_tasks.config import CenterNetConfig, SupervisedConfig
from fusekit_tasks.inputs import annotated, vary
from fusekit_tasks.supervised import SupervisedTask
from tests.networks import class_table

CLASSES = 3


def boxes(*rows: tuple[float, float, float, float, int], ignored: tuple[int, ...] = ()) -> Boxes:
    return Boxes(
        torch.tensor([row[:4] for row in rows]).float().view(-1, 4),
        torch.tensor([row[4] for row in rows], dtype=torch.int64),
        torch.tensor([index in ignored for index in range(len(rows))], dtype=torch.bool),
    )


def painted(target: Target) -> Tensor:
    """The output of a perfect network: the logits of Y, and size and offset at the centres."""
    output = torch.zeros(CLASSES + 4, *target.heat.shape[1:])
    output[:CLASSES] = torch.logit(target.heat, eps=1e-6)
    rows, columns = target.cells.T
    output[CLASSES : CLASSES + 2, rows, columns] = target.sizes.T
    output[CLASSES + 2 :, rows, columns] = target.offsets.T
    return output


def test_a_painted_target_decodes_to_its_boxes() -> None:
    wanted = boxes(
        (3, 5, 21, 47, 0),
        (16.5, 6.25, 30, 50, 0),  # overlaps the first one
        (3, 5, 21, 47, 2),  # the same place, another class
        (60.3, 0, 91.9, 3.1, 1),
        (90, 60, 97, 66, 1),  # the last cell of an image of 97x66
        (44, 44, 46, 45, 0),
    )
    found = decode(painted(encode(wanted, CLASSES, (17, 25))), CLASSES, objects=6)
    order = [
        int(((wanted.corners - corner).abs().sum(dim=1) + 99.0 * (wanted.classes != kind)).argmin())
        for corner, kind in zip(found.corners, found.classes, strict=True)
    ]
    assert sorted(order) == list(range(6))
    torch.testing.assert_close(found.corners, wanted.corners[order], rtol=0, atol=1e-5)
    assert found.classes.tolist() == wanted.classes[order].tolist()
    assert bool((found.scores > 0.99999).all())


def test_the_target_of_one_box_by_hand() -> None:
    target = encode(boxes((4, 8, 44, 24, 1)), CLASSES, (8, 12))
    assert target.cells.tolist() == [[4, 6]], "centre (24, 16), a cell is 4 pixels"
    assert target.offsets.tolist() == [[0, 0]]
    assert target.sizes.tolist() == [[40, 16]]
    assert float(target.heat[[0, 2]].max()) == 0
    # w, h = 10, 4 cells. Shifted the same way: r = (14 - √(14² - 160 · 0.3/1.7)) / 2; the other cases allow less.
    radius = min(
        (14 - math.sqrt(14**2 - 160 * 0.3 / 1.7)) / 2,
        (14 - math.sqrt(14**2 - 160 * 0.3)) / 4,
        (math.sqrt(14**2 + 160 * 0.3 / 0.7) - 14) / 4,
    )
    assert float(target.heat[1, 4, 8]) == pytest.approx(math.exp(-4 / (2 * (radius / 3) ** 2)))
    assert float(target.heat[1, 3, 6]) == pytest.approx(math.exp(-1 / (2 * (radius / 3) ** 2)))


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    shared = (min(one[2], other[2]) - max(one[0], other[0])) * (min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("overlap", [0.3, 0.7, 0.9])
@pytest.mark.parametrize(("width", "height"), [(10.0, 4.0), (7.0, 7.0), (3.0, 50.0)])
def test_a_box_that_is_off_by_the_radius_still_overlaps(width: float, height: float, overlap: float) -> None:
    r = float(gaussian_radius(torch.tensor([[width, height]], dtype=torch.float64), overlap))
    box = (0.0, 0.0, width, height)
    moved = [(r, r, width + r, height + r), (r, r, width - r, height - r), (-r, -r, width + r, height + r)]
    assert min(iou(box, other) for other in moved) == pytest.approx(overlap)


def test_the_focal_loss_by_hand() -> None:
    heat = torch.tensor([[[1.0, 0.5, 0.0]]], dtype=torch.float64)
    scores = torch.tensor([[[0.8, 0.6, 0.3]]], dtype=torch.float64)
    every = torch.ones_like(heat, dtype=torch.bool)
    terms = [0.2**2 * math.log(0.8), 0.5**4 * 0.6**2 * math.log(0.4), 0.3**2 * math.log(0.7)]
    assert float(focal_loss(torch.logit(scores), heat, every)) == pytest.approx(-sum(terms))
    every[..., 1] = False
    assert float(focal_loss(torch.logit(scores), heat, every)) == pytest.approx(-terms[0] - terms[2])


@pytest.fixture(scope="module")
def network() -> CenterNet:
    torch.manual_seed(0)
    config = CenterNetConfig(encoder="mobilenetv3_small_050", width=8)
    return CenterNet(config, BuildContext(classes=class_table(CLASSES))).eval()


TARGET = (boxes((2, 3, 18, 20, 0), (9, 1, 27, 13, 2), (16, 12, 28, 24, -1), ignored=(2,)), boxes())


def test_the_gradient_of_the_loss_equals_finite_differences(network: CenterNet) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, CLASSES + 4, 6, 7, dtype=torch.float64, requires_grad=True)
    target = tuple(Boxes(b.corners.double(), b.classes, b.ignored) for b in TARGET)
    assert torch.autograd.gradcheck(lambda x: network.loss(x, target), (logits,), fast_mode=True)


def test_the_loss_is_the_sum_of_its_terms_over_the_objects(network: CenterNet) -> None:
    torch.manual_seed(2)
    logits = torch.randn(2, CLASSES + 4, 6, 7)
    heat = size = offset = torch.zeros(())
    for output, wanted in zip(logits, TARGET, strict=True):
        target = encode(wanted, CLASSES, (6, 7))
        heat = heat + focal_loss(output[:CLASSES], target.heat, target.counted)
        for (row, column), sides, inside in zip(target.cells.tolist(), target.sizes, target.offsets, strict=True):
            size = size + (output[CLASSES : CLASSES + 2, row, column] - sides).abs().sum()
            offset = offset + (output[CLASSES + 2 :, row, column] - inside).abs().sum()
    torch.testing.assert_close(network.loss(logits, TARGET), (heat + 0.1 * size + offset) / 2)
    perfect = painted(encode(TARGET[0], CLASSES, (6, 7)))[None]
    assert float(network.loss(perfect, TARGET[:1])) < 0.2 * float(network.loss(logits[:1], TARGET[:1]))


def test_ignored_boxes_are_neither_objects_nor_background() -> None:
    target = encode(boxes((0, 0, 16, 8, 1), (8, 0, 28, 24, -1), ignored=(0, 1)), CLASSES, (6, 7))
    assert len(target.cells) == 0
    assert not target.heat.any()
    spared = ~target.counted
    assert spared[0].nonzero().tolist() == [[row, column] for row in range(6) for column in range(2, 7)]
    assert spared[1].sum() == spared[0].sum() + 4
    # A centre inside an ignored region still counts.
    target = encode(boxes((8, 8, 24, 24, 0), (0, 0, 28, 24, -1), ignored=(1,)), CLASSES, (6, 7))
    assert target.counted.nonzero().tolist() == [[0, 4, 4]]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 16, 16), (3, 33, 47), (1, 64, 30)])
def test_it_takes_any_size(network: CenterNet, channels: int, height: int, width: int) -> None:
    with torch.no_grad():
        output = network(torch.rand(1, channels, height, width))
    assert output.shape == (1, CLASSES + 4, -(-height // STRIDE), -(-width // STRIDE))
    (found,) = network.predict(output)
    assert all(a >= b for a, b in pairwise(found.scores.tolist()))


def test_peaks_are_the_largest_of_their_neighbourhood() -> None:
    output = torch.full((CLASSES + 4, 5, 6), -9.0)
    output[1, 2, 2], output[1, 2, 3], output[1, 0, 5] = 3.0, 2.0, 1.0  # the second is beside the first
    found = decode(output, CLASSES, objects=2)
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))])
    assert found.classes.tolist() == [1, 1]


@pytest.mark.slow
def test_the_default_is_small_and_twice_differentiable() -> None:
    network = CenterNet(None, BuildContext(classes=class_table(CLASSES)))
    assert sum(parameter.numel() for parameter in network.parameters()) < 5_000_000
    assert network.second_order


@pytest.mark.parametrize(
    ("encoder", "cause"),
    [("tf_efficientnet_lite", "did you mean 'tf_efficientnet_lite"), ("vit_tiny_patch16_224", "not at 4, 8, 32")],
)
def test_unfit_encoders_are_refused(encoder: str, cause: str) -> None:
    with pytest.raises(FusekitError, match=cause):
        CenterNet(CenterNetConfig(encoder=encoder), BuildContext(classes=class_table(CLASSES)))


def test_encoders_from_repositories_are_refused() -> None:
    with pytest.raises(ValueError, match="not a valid encoder name"):
        CenterNetConfig(encoder="hf-hub:someone/net")


def test_mirrored_boxes_stay_on_their_image() -> None:
    torch.manual_seed(0)
    image = torch.zeros(8, 1, 12, 20)
    image[..., 2:5, 3:9] = 0.5
    batch = Batch((image, image), ids=tuple("abcdefgh"), boxes=(boxes((3, 2, 9, 5, 1)),) * 8)
    varied = vary(annotated(torch.cat(batch.sources), batch), SupervisedConfig(mirror=True))
    assert varied.boxes is not None
    lefts = set()
    for one, found in zip(varied.sources[0], varied.boxes, strict=True):
        ((left, top, right, bottom),) = found.corners.int().tolist()
        assert bool((one[0, top:bottom, left:right] == 0.5).all())
        lefts.add(left)
    assert len(varied.boxes) == 16
    assert lefts == {3, 11}


def test_the_supervised_strategy_trains_a_detector(network: CenterNet) -> None:
    losses: list[float] = []
    context: Any = SimpleNamespace(
        task=network, updater=lambda *_: lambda loss: losses.append(loss.item()), autocast=torch.enable_grad
    )
    strategy = SupervisedTask(SupervisedConfig(draw=True, mirror=True))
    strategy.setup(context)
    sources = (torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64))
    batch = Batch(sources, ids=("a", "b"), boxes=TARGET)
    assert strategy.step(SimpleNamespace(), [batch]).losses == {"task": losses[0]}  # type: ignore[arg-type]
    network.eval()
    found = strategy.losses(batch)
    assert found["task"] > 0
    assert math.isnan(found["disagreement"])
    with pytest.raises(ValueError, match="CenterNet needs boxes, but the dataset has none"):
        strategy.step(SimpleNamespace(), [Batch(sources)])  # type: ignore[arg-type]
