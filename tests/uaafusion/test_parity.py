"""UAAFusion against what the authors' released code computes, to 1e-5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import fusekit
from fusekit.model.model_file import load_system
from fusekit.model.system import FusionSystem
from fusekit.weights.importing import import_weights
from fusekit_uaafusion.attribution import AttributionGuidance
from tests.networks import TinySegmenter
from tests.paths import parity

FOLDER = parity()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="no parity files (FUSEKIT_TEST_PARITY)")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    assert FOLDER is not None
    with np.load(FOLDER / "uaafusion" / "reference.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> FusionSystem:
    """The reference weights through the importer and a model file, with the reference's task network."""
    assert FOLDER is not None
    released = FOLDER / "uaafusion" / "reference.pth"
    file = tmp_path_factory.mktemp("weights") / "imported.safetensors"
    import_weights("uaafusion", released, file)
    system, _ = load_system(file)
    task = TinySegmenter()
    task.net.load_state_dict(torch.load(released, weights_only=True)["task"])
    system.task, system.guidance_maker = task, AttributionGuidance()
    return system


def sources_of(reference: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return tuple(reference[name][None, None].float() / 255 for name in ("ir", "vi"))  # type: ignore[return-value]


def assert_close(ours: Tensor, theirs: Tensor, scale: float = 1.0) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= TOLERANCE * scale


def test_fused_and_weights_with_labels(system: FusionSystem, reference: dict[str, Tensor]) -> None:
    with torch.no_grad():
        output = system(sources_of(reference), labels=reference["label"][None].long())
    assert_close(output.image, reference["fused"])
    assert output.weights is not None
    assert_close(output.weights[:, :1], reference["w_ir"])
    assert_close(output.weights[:, 1:], reference["w_vi"])


def test_region_attributions(system: FusionSystem, reference: dict[str, Tensor]) -> None:
    guidance = system.guidance(sources_of(reference), reference["label"][None].long())
    assert guidance is not None
    maps = guidance.attribution().per_class()
    # The reference values are of order 1e-6: a tolerance relative to them, or the test could not fail.
    for index, name in enumerate(("ig_ir", "ig_vi")):
        assert_close(maps[:, index], reference[name], scale=reference[name].abs().max().item())


def test_fused_without_labels(system: FusionSystem, reference: dict[str, Tensor]) -> None:
    with torch.no_grad():
        assert_close(system(sources_of(reference)).image, reference["fused_nolabel"])


def test_parameter_count_is_the_papers_less_the_unused_unit(system: FusionSystem) -> None:
    assert sum(p.numel() for p in system.backbone.parameters()) == 1_010_380 - 9_538


def test_imported_file_fuses_images(tmp_path: Path) -> None:
    assert FOLDER is not None
    file = tmp_path / "imported.safetensors"
    import_weights("uaafusion", FOLDER / "uaafusion" / "reference.pth", file)
    model = fusekit.load(file, device="cpu")
    pair = [np.full((40, 33), level, np.uint8) for level in (40, 200)]
    assert model.fuse(*pair).shape == (40, 33)
