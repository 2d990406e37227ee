"""Guidance from local files: UAAFusion's network hears a classifier's Grad-CAM and a detector's boxes.

The files of `guides` are what a user would give with ``--with``; each guidance stands in fewer than 60 lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import fusekit
from fusekit.plugin.registry import registry
from fusekit.testing.check import check_component
from tests.pipeline.small import small_recipe

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
        "task 'tasks.smp' is one for segmentation: choose another" in " ".join(done.err.split())
    )
    assert fusekit(*asked, "-o", f"model.task={{use: {task}}}").code == 0


def test_each_stands_in_fewer_than_sixty_lines() -> None:
    for guidance, _ in CASES:
        assert len((GUIDES / f"{guidance}.py").read_text().splitlines()) < 60
