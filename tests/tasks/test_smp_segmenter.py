"""Segmentation networks of segmentation-models-pytorch behind the task interface."""

from __future__ import annotations

import re

import pytest
import torch
from pydantic import ValidationError

from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter
from tests.networks import class_table

pytestmark = pytest.mark.slow

CONTEXT = BuildContext(classes=class_table(5))


def build(**options: object) -> SmpSegmenter:
    return SmpSegmenter(SmpConfig.model_validate(options), CONTEXT).eval()


@pytest.mark.parametrize(
    ("architecture", "encoder", "channels"),
    [
        ("deeplabv3plus", "mobilenet_v2", 1),
        ("unet", "resnet18", 3),
        ("fpn", "tu-mobilenetv3_small_050", 1),
        ("segformer", "mit_b0", 3),
    ],
)
def test_architectures_and_encoders_take_one_or_three_channels_at_any_size(
    architecture: str, encoder: str, channels: int
) -> None:
    net = build(architecture=architecture, encoder=encoder, channels=channels)
    with torch.no_grad():
        for given, height, width in ((1, 33, 47), (3, 64, 32), (1, 16, 16)):
            assert net(torch.rand(2, given, height, width)).shape == (2, 5, height, width)


def test_second_order_is_declared_truthfully() -> None:
    assert build(architecture="unet", encoder="resnet18").second_order is True
    # Its hard-sigmoid gates have no second derivative in torch.
    assert build(architecture="unet", encoder="tu-mobilenetv3_small_050").second_order is False
    # Attention is taken in its math form, which has one.
    assert build(architecture="segformer", encoder="mit_b0", channels=3).second_order is True


def test_ignored_labels_do_not_move_the_loss() -> None:
    net = build()
    logits = torch.randn(1, 5, 8, 8)
    target = torch.randint(1, 5, (1, 8, 8))
    partly = target.clone()
    partly[0, :4] = 255
    expected = torch.nn.functional.cross_entropy(logits[:, :, 4:], target[:, 4:])
    torch.testing.assert_close(net.loss(logits, partly), expected)
    assert net.loss(logits, torch.full_like(target, 255)).item() == 0.0


def test_unlabelled_class_counts_unless_switched_off() -> None:
    logits, target = torch.randn(1, 5, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
    target[0, 0] = 2
    for balance in (0.0, 0.5):
        assert build(balance=balance).loss(logits, target) != build(balance=balance, ignore_unlabelled=True).loss(
            logits, target
        )
    assert build(ignore_unlabelled=True).ignored == {0, 255}
    expected = torch.nn.functional.cross_entropy(logits[:, :, :1], target[:, :1])
    torch.testing.assert_close(build(ignore_unlabelled=True).loss(logits, target), expected)
    assert torch.equal(target[0, 1:], torch.zeros(7, 8, dtype=torch.int64)), "the label must not be changed"


def test_balance_weighs_rare_classes_up() -> None:
    logits = torch.zeros(1, 5, 10, 10, requires_grad=True)
    target = torch.zeros(1, 10, 10, dtype=torch.int64)
    target[0, 0, 0] = 1
    (gradient,) = torch.autograd.grad(build(balance=1.0).loss(logits, target), logits)
    rare, common = gradient[0, 1, 0, 0].abs(), gradient[0, 0, 5, 5].abs()
    assert rare.item() == pytest.approx(99 * common.item(), rel=1e-4)


def test_sigmoid_end_is_a_switch() -> None:
    assert build(activation="sigmoid")(torch.rand(1, 1, 32, 32)).min() >= 0
    assert build()(torch.rand(1, 1, 32, 32)).min() < 0


def test_pretrained_weights_are_never_fetched_by_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSEKIT_ALLOW_DOWNLOAD", raising=False)
    with pytest.raises(UsageError, match="not in the local cache") as caught:
        build(architecture="unet", encoder="resnet18", weights="imagenet")
    assert "FUSEKIT_ALLOW_DOWNLOAD" in (caught.value.hint or "")


def test_a_model_file_wants_no_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSEKIT_ALLOW_DOWNLOAD", raising=False)
    config = SmpConfig(architecture="unet", encoder="resnet18", weights="imagenet")
    SmpSegmenter(config, BuildContext(classes=class_table(5), pretrained=False))


@pytest.mark.parametrize(
    ("encoder", "option"),
    [("tu-resnet18", {"drop_path_rate": 0.1}), ("tu-resnet18", {"features_only": False}), ("resnet18", {"kwargs": 1})],
)
def test_options_are_the_architectures_named_arguments(encoder: str, option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="it has no option"):
        build(architecture="unet", encoder=encoder, options=option)


def test_arguments_of_the_architecture_reach_it() -> None:
    assert build(options={"encoder_output_stride": 8}).net.encoder._output_stride == 8  # type: ignore[union-attr]
    narrow = build(
        architecture="unet",
        encoder="tu-resnet18",
        options={"encoder_depth": 3, "decoder_channels": [32, 16, 8], "decoder_attention_type": "scse"},
    )
    assert narrow.net.segmentation_head[0].in_channels == 8  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"encoder": "tu-hf-hub:evil/model"}, "'tu-hf-hub:evil/model' is not a valid encoder name"),
        ({"encoder": "tu-local-dir:/tmp"}, "not a valid encoder name"),
        ({"encoder": "resnet18\n"}, "not a valid encoder name"),
        ({"encoder": ""}, "not a valid encoder name"),
        ({"options": {"checkpoint_path": "weights.pth"}}, "it loads weights"),
        ({"options": {"pretrained": True}}, "it loads weights"),
        ({"options": {"decoder_interpolation": "/etc/hostname"}}, "is not a plain name"),
        ({"options": {"decoder_channels": [64, 10**9]}}, "numbers must not exceed 4096"),
        ({"options": {"decoder_channels": [1] * 1000}}, "at most 64 items"),
        ({"options": {"decoder_channels": [[[[1]]]]}}, "3 levels of nesting"),
        ({"options": {"upsampling": float("nan")}}, "numbers must not exceed 4096"),
    ],
)
def test_what_leads_elsewhere_or_has_no_bound_is_refused_before_anything_is_imported(
    value: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        SmpConfig.model_validate(value)


@pytest.mark.parametrize("options", [{"architecture": "unnet"}, {"encoder": "resnet1"}, {"options": {"colour": 3}}])
def test_what_smp_refuses_is_said_in_a_sentence(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"tasks\.smp cannot build"):
        build(**options)


def test_a_single_image_is_refused_in_words() -> None:
    network = build().train()
    with pytest.raises(UsageError, match="cannot be trained with a single image"):
        network(torch.rand(1, 1, 32, 32))
