"""Guidance from local files: UAAFusion's network hears a classifier's Grad-CAM and a detector's boxes.

The files of `guides` are what a user would give with ``--with``; each guidance stands in fewer than 60 lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fusekit
from fusekit.errors import UsageError
from fusekit.fusing.fusion_model import FusionModel
from fusekit.model.system import FusionSystem
from fusekit.pipeline.explain import explain_scene
from fusekit.plugin.registry import registry
from fusekit.testing.check import check_component
from fusekit.testing.toys import ToyGuidanceMaker
from fusekit_baselines.rules import Mean
from tests.networks import TinySegmenter
from tests.pipeline.small import small_recipe

pytestmark = pytest.mark.slow

Call = Callable[..., Any]
GUIDES = Path(__file__).parent / "guides"
CASES = [("gradcam", "local.shown"), ("boxes", "local.detector")]


@pytest.fixture
def local() -> Iterator[None]:
    registry.cache_clear()
    for name in ("networks", "gradcam", "boxes"):
        registry().add_local(GUIDES / f"{name}.py")
    yield
    registry.cache_clear()


def recipe(guidance: str, task: str, **changes: Any) -> fusekit.Recipe:
    return small_recipe(
        guidance,
        model__guidance=f"{{use: local.{guidance}}}",
        model__task=f"{{use: {task}}}",
        evaluate__pictures=1,
        **changes,
    )


@pytest.mark.parametrize(("guidance", "task"), CASES)
def test_uaafusion_trains_and_fuses_with_it(local: None, tmp_path: Path, guidance: str, task: str) -> None:
    done = fusekit.run(recipe(guidance, task), runs=tmp_path, device="cpu")
    model = fusekit.load(done.folder.path)
    images = tuple(torch.rand(1, 1, 100, 130, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    with torch.no_grad():
        heard, unheard = model.system(images), model.backbone(images)
    assert heard.weights is not None
    assert float(heard.weights.std()) > 0.01
    assert not torch.equal(heard.image, unheard.image)
    torch.testing.assert_close(heard.weights.sum(dim=1), torch.ones(1, 100, 130))
    tiled = model.fuse(*images, tile=64)  # the tiles share what was said about the whole image
    torch.testing.assert_close(tiled, heard.image, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("guidance", "task"), CASES)
def test_it_keeps_the_contract(local: None, guidance: str, task: str) -> None:
    spec = registry().find("guidance", f"local.{guidance}")
    outcomes = list(check_component(spec, registry(), {"model": {"task": {"use": task}}}))
    assert {o.check: o.reason for o in outcomes if o.state == "failed"} == {}


@pytest.mark.parametrize(("guidance", "task"), CASES)
def test_a_task_network_that_does_not_fit_is_refused_in_a_sentence(
    fusekit: Call, tmp_path: Path, guidance: str, task: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(small_recipe("mine").dumps_resolved())
    own = f"model.guidance={{use: local.{guidance}}}"
    asked = ("validate", file, "--with", GUIDES / f"{guidance}.py", "--with", GUIDES / "networks.py", "-o", own)
    done = fusekit(*asked)
    assert done.code == 2
    wanted = {"gradcam": "classification", "boxes": "detection"}[guidance]
    assert (
        f"guidance 'local.{guidance}' needs a task network for {wanted}; "
        "task 'tasks.smp' solves segmentation: choose another" in " ".join(done.err.split())
    )
    assert fusekit(*asked, "-o", f"model.task={{use: {task}}}").code == 0


def test_each_stands_in_fewer_than_sixty_lines() -> None:
    for guidance, _ in CASES:
        assert len((GUIDES / f"{guidance}.py").read_text().splitlines()) < 60


class NamedRegions(ToyGuidanceMaker):
    """What a segmenter says, of regions that are no classes."""

    def of(self, task: Any, sources: Any, labels: Any = None) -> Any:
        made = super().of(task, sources, labels)
        found = made.attribution()
        made.attribution = lambda: replace(found, names=tuple("abcdefghi"[: found.scores.shape[2]]))  # type: ignore[method-assign]
        return made


def test_explain_names_other_regions_and_draws_them_not_as_classes(tmp_path: Path) -> None:
    task, images = TinySegmenter(), [tmp_path / "one.png", tmp_path / "two.png"]
    for number, path in enumerate(images):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 40), dtype=np.uint8)).save(path)

    def explained(guidance: ToyGuidanceMaker | None) -> list[Path]:
        system = FusionSystem(Mean(), task=task, guidance=guidance, classes=task.classes)
        return explain_scene(FusionModel(system), images, tmp_path / "out")

    with pytest.raises(UsageError, match="no guidance, so there is no attribution to show"):
        explained(None)
    assert "regions.png" in {path.name for path in explained(ToyGuidanceMaker())}
    assert "regions.png" not in {path.name for path in explained(NamedRegions())}
    assert set(json.loads((tmp_path / "out" / "attribution.json").read_text())) <= set("abcdefghi")
