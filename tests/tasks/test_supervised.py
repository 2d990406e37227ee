"""Supervised training: the inputs it makes, their variation, class weights and learning rates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusekit.errors import UsageError
from fusekit.interfaces import Batch, BuildContext
from fusekit_tasks.config import SmpConfig, SupervisedConfig
from fusekit_tasks.inputs import draw, make_inputs, vary
from fusekit_tasks.segmentation import SmpSegmenter
from fusekit_tasks.supervised import SupervisedTask
from tests.networks import TinySegmenter, class_table


def options(**values: object) -> SupervisedConfig:
    return SupervisedConfig.model_validate(values)


def test_inputs_are_what_the_options_name() -> None:
    one, two = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    made = make_inputs((one, two), options(inputs=["sources", "mean", "maximum"]))
    expected = [one, two, (one + two) / 2, torch.maximum(one, two)]
    for image, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(image, wanted)
    (mixed,) = make_inputs((one, two), options(inputs=["mixture"]))
    assert bool((mixed <= torch.maximum(one, two) + 1e-6).all())
    assert bool((mixed >= torch.minimum(one, two) - 1e-6).all())


def test_one_input_of_each_scene_is_drawn() -> None:
    torch.manual_seed(0)
    images = [torch.full((64, 1, 2, 2), float(k)) for k in range(3)]
    drawn = draw(images)
    assert drawn.shape == (64, 1, 2, 2)
    assert set(drawn[:, 0, 0, 0].tolist()) == {0.0, 1.0, 2.0}


def test_variation_keeps_the_range_and_moves_labels_with_images() -> None:
    torch.manual_seed(0)
    image = torch.linspace(0.2, 0.4, 8).expand(32, 1, 4, 8)
    labels = torch.arange(8).expand(32, 4, 8)
    batch = vary(Batch((image,), labels), options(gain=1.5, gamma=1.5, mirror=True))
    (varied,), moved = batch.sources, batch.labels
    assert moved is not None
    assert float(varied.min()) >= 0
    assert float(varied.max()) <= 1
    turned = moved[:, 0, 0] == 7
    assert 4 < int(turned.sum()) < 28
    falls = varied[:, 0, 0, 0] > varied[:, 0, 0, -1]
    assert torch.equal(turned, falls), "labels and images are mirrored together"
    lowest, highest = 0.4**1.5 / 1.5, min(1.0, 0.4 ** (1 / 1.5) * 1.5)
    assert bool((varied.amax(dim=(1, 2, 3)) >= lowest - 1e-6).all())
    assert bool((varied.amax(dim=(1, 2, 3)) <= highest + 1e-6).all())
    assert len(varied.amax(dim=(1, 2, 3)).unique()) > 16


def test_factors_of_one_change_nothing() -> None:
    state = torch.get_rng_state()
    image, labels = torch.rand(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)
    before = torch.get_rng_state()
    batch = vary(Batch((image,), labels), options())
    assert torch.equal(batch.sources[0], image)
    assert batch.labels is not None
    assert torch.equal(batch.labels, labels)
    assert torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(state)


class Context:
    """A training context that records the modules and factors of the updater."""

    def __init__(self, task: nn.Module) -> None:
        self.task = task
        self.groups: dict[float, set[int]] = {}

    def updater(self, name: str, *parts: tuple[nn.Module, float]) -> Any:
        for module, factor in parts:
            self.groups.setdefault(factor, set()).update(id(p) for p in module.parameters())
        return SimpleNamespace()

    def autocast(self) -> Any:
        return torch.enable_grad()


class Nested(TinySegmenter):
    """A segmentation network with a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))


def test_every_parameter_has_the_rate_of_its_most_specific_submodule() -> None:
    task = Nested()
    context: Any = Context(task)
    SupervisedTask(options(rates={"encoder": 0.3, "encoder.1": 0.1})).setup(context)
    assert context.groups[0.3] == {id(p) for p in task.encoder[0].parameters()}
    assert context.groups[0.1] == {id(p) for p in task.encoder[1].parameters()}
    assert sum(map(len, context.groups.values())) == len(list(task.parameters()))
    with pytest.raises(UsageError, match="no such submodule"):
        SupervisedTask(options(rates={"decoder": 1.0})).setup(context)


class Fixed(TinySegmenter):
    """Predicts class 0 on the left half of every image and class 1 on the right half."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        right = torch.arange(image.shape[-1]) >= image.shape[-1] // 2
        prediction = right.long().expand(image.shape[0], *image.shape[-2:])
        return F.one_hot(prediction, len(self.classes)).movedim(-1, 1).float()


def test_disagreement_is_one_minus_the_mean_iou() -> None:
    task = Fixed()
    strategy = SupervisedTask(options(inputs=["sources"]))
    strategy.setup(Context(task))  # type: ignore[arg-type]
    labels = torch.zeros(1, 4, 8, dtype=torch.int64)
    labels[..., 4:] = 1
    image = torch.rand(1, 1, 4, 8)
    assert strategy.losses(Batch((image, image), labels, ("a",)))["disagreement"] == 0.0
    labels[..., 6:] = 2  # IoU 1 for class 0, 8/16 for class 1, 0 for class 2
    assert strategy.losses(Batch((image, image), labels, ("a",)))["disagreement"] == pytest.approx(0.5)
    labels[..., 6:] = 255  # not counted
    assert strategy.losses(Batch((image, image), labels, ("a",)))["disagreement"] == 0.0


@pytest.mark.slow
def test_known_frequencies_give_every_batch_the_same_class_weights() -> None:
    context = BuildContext(classes=class_table(3))
    net = SmpSegmenter(SmpConfig(balance=0.5, frequencies=[0.64, 0.32, 0.04]), context)
    logits, target = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 0], [0, 2]]])
    weight = torch.tensor([1.25, 0.32**-0.5, 5.0])
    torch.testing.assert_close(net.loss(logits, target), F.cross_entropy(logits, target, weight=weight))
    with pytest.raises(UsageError, match="`frequencies` has 2 values, but the data has 3 classes"):
        SmpSegmenter(SmpConfig(frequencies=[0.5, 0.5]), context)
