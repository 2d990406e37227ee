"""Methods without weights that take a number of sources of their own, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusekit.data.decoding import read_raster
from fusekit.fusing.fusion_model import FusionModel
from fusekit.interfaces import FusionBackbone, FusionOutput
from fusekit.model.system import FusionSystem
from tests.data.files import save

Call = Callable[..., Any]

TWO = '''
"""A rule for exactly two sources: three parts of the first, one of the second."""
from fusekit.interfaces import ComponentConfig, FusionBackbone, FusionOutput
from fusekit.plugin import component, hookimpl


class NoOptions(ComponentConfig):
    def has_weights(self):
        return False


class Two(FusionBackbone):
    Config = NoOptions
    source_count = 2

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        if len(context.roles) != 2:
            raise ValueError(f"two roles are wanted, not {context.roles}")

    def forward(self, sources, *, guidance=None):
        first, second = sources
        return FusionOutput(0.75 * first + 0.25 * second)


@hookimpl
def fusekit_components():
    return [component("backbone", "local.two", target=f"{__name__}:Two", summary="Three to one")]
'''


@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rule's file, and grey pictures ``a/x.png`` of 40 and ``b/x.png`` of 80, to type in."""
    monkeypatch.chdir(tmp_path)
    for folder, level in (("a", 40), ("b", 80), ("c", 120)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "x.png", np.full((20, 24), level, np.uint8))
    file = tmp_path / "two.py"
    file.write_text(TWO)
    return file


def test_images_and_folders_are_fused_by_its_name(fusekit: Call, rule: Path) -> None:
    for name, sources, out in (
        ("two", ("a/x.png", "b/x.png"), "x.png"),
        ("local.two", ("a/x.png", "--source", "b=b/x.png"), "named.png"),
        ("two", ("a", "b"), "out/x.png"),
    ):
        done = fusekit("fuse", *sources, "-o", out.removesuffix("/x.png"), "-m", name, "--with", rule)
        assert done.code == 0, done.err
        assert np.unique(read_raster(Path(out)).pixels).tolist() == [50]


@pytest.mark.parametrize("sources", [("a/x.png", "b/x.png", "c/x.png"), ("a", "b", "c"), ("a/x.png",)])
def test_another_number_is_refused(fusekit: Call, rule: Path, sources: tuple[str, ...]) -> None:
    done = fusekit("fuse", *sources, "-o", "out.png", "-m", "two", "--with", rule)
    assert done.code == 2
    assert f"the model fuses 2 sources (a, b), got {len(sources)}" in " ".join(done.err.split())
    assert not Path("out.png").exists()


class Difference(FusionBackbone):
    """Half the difference of two sources, from the middle."""

    source_count = 2

    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        return FusionOutput(0.5 + (sources[0] - sources[1]) / 2)


def test_a_system_by_hand_needs_no_roles() -> None:
    model = FusionModel(FusionSystem(Difference(), roles=()))
    fused = model.fuse(torch.full((1, 20, 24), 0.5), torch.full((1, 20, 24), 0.3))
    torch.testing.assert_close(fused, torch.full((1, 20, 24), 0.6))
