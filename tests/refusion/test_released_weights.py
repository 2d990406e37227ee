"""The authors' weights give the authors' output, through the importer that users call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fusekit
from fusekit.errors import DataError
from fusekit.weights.importing import import_weights
from fusekit_refusion.config import NetworkConfig
from fusekit_refusion.importer import ReleaseImporter
from fusekit_refusion.network import FusionNetwork
from tests.paths import parity

pytestmark = pytest.mark.slow

FOLDER = parity()
TASKS = sorted(p.stem.split("_")[1] for p in (FOLDER / "refusion").glob("ReFusion_*.pth")) if FOLDER else []
CASES = (
    [(task, file) for task in TASKS for file in sorted((FOLDER / "refusion").glob(f"{task}_*.npz"))] if FOLDER else []
)
needs_parity = pytest.mark.skipif(not CASES, reason="the authors' weights and outputs (FUSEKIT_TEST_PARITY) are absent")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    assert FOLDER is not None
    folder = tmp_path_factory.mktemp("refusion")
    for task in TASKS:
        import_weights("refusion", FOLDER / "refusion" / f"ReFusion_{task}.pth", folder / f"{task}.safetensors")
    return {task: folder / f"{task}.safetensors" for task in TASKS}


def pair(file: Path) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    stored = np.load(file)
    a, b = (torch.from_numpy(stored[name]).float()[None, None] / 255 for name in ("source_a", "source_b"))
    return (a, b), torch.from_numpy(stored["fused"])


@needs_parity
@pytest.mark.parametrize(("task", "file"), CASES, ids=lambda x: x if isinstance(x, str) else x.stem)
def test_released_weights_give_the_released_output(task: str, file: Path, imported: dict[str, Path]) -> None:
    model = fusekit.load(imported[task])
    sources, expected = pair(file)
    with torch.no_grad():
        fused = model.backbone(sources).image
    assert fused.shape == sources[0].shape
    torch.testing.assert_close(fused[0, 0], expected, rtol=0, atol=1e-6)


@needs_parity
@pytest.mark.parametrize(("task", "file"), CASES, ids=lambda x: x if isinstance(x, str) else x.stem)
def test_the_fused_order_is_the_more_exact_one(task: str, file: Path, imported: dict[str, Path]) -> None:
    """Against float64: the released order is up to 1e-5 away on images with large constant areas, ours never 1e-6."""
    sources, expected = pair(file)
    weights = {n.removeprefix("backbone."): w for n, w in load_file(imported[task]).items()}
    network = FusionNetwork(NetworkConfig(arithmetic="fused"))
    network.load_state_dict(weights)
    with torch.no_grad():
        fused = network(sources).image[0, 0]
        exact = network.double()(tuple(s.double() for s in sources)).image[0, 0]
    assert float((fused - exact).abs().max()) < 1e-6
    assert float((expected - exact).abs().max()) < 1e-4


def test_size_is_the_papers() -> None:
    assert sum(p.numel() for p in FusionNetwork().parameters()) == 59_856


def released(network: FusionNetwork, prefix: str = "") -> dict[str, torch.Tensor]:
    """The state dict of a network as the release would hold it, made by turning the importer's table around."""
    from fusekit_refusion.importer import _block

    state = network.state_dict()
    names = {"project_in_1.weight": "encoders.0.0.weight", "project_in_2.weight": "encoders.1.0.weight"}
    for k in range(2):
        for n in (1, 2):
            names |= dict(_block(f"encoder{n}.{k}", f"encoders.{n - 1}.{k + 1}"))
        names |= dict(_block(f"decoder.{k}", f"decoder.0.{k}"))
    for n, i in ((1, 0), (2, 1)):
        names |= {
            f"FM.temperature{n}": f"fusion.temperature.{i}",
            f"FM.qkv{n}.weight": f"fusion.qkv.{i}.0.weight",
            f"FM.qkv{n}_dwconv.weight": f"fusion.qkv.{i}.1.weight",
            f"FM.project_mid{n}.weight": f"fusion.out.{i}.weight",
            f"FM.project_E{n}.weight": f"fusion.expand.{i}.0.weight",
            f"FM.project_E{n}_d.weight": f"fusion.expand.{i}.1.weight",
            f"FM.project_out{n}.weight": f"fusion.contract.{i}.weight",
        }
    names |= {"FM.project_E.weight": "fusion.gate.0.weight", "FM.project_E_d.weight": "fusion.gate.1.weight"}
    names |= {"project_out_0.weight": "decoder.1.weight", "project_out_1.weight": "decoder.3.weight"}
    made = {}
    for theirs, ours in names.items():
        made[prefix + theirs] = state[ours]
        if state[ours].ndim == 4 and theirs.endswith(".weight"):
            made[prefix + theirs.removesuffix("weight") + "conv.weight"] = state[ours].clone()
    return made


@pytest.mark.parametrize("prefix", ["", "module."])
def test_importer_reads_sizes_from_the_weights(prefix: str, tmp_path: Path) -> None:
    network = FusionNetwork(NetworkConfig(channels=8, heads=4, expansion=3))
    made = ReleaseImporter().convert(released(network, prefix))
    assert made.model["backbone"]["params"] == {
        "channels": 8,
        "heads": 4,
        "blocks": 2,
        "expansion": 3,
        "arithmetic": "released",
    }
    save_file(dict(made.state), tmp_path / "w.safetensors")
    for name, weight in network.state_dict().items():
        assert torch.equal(made.state[f"backbone.{name}"], weight)


def test_importer_refuses_what_it_does_not_know() -> None:
    weights = released(FusionNetwork())
    with pytest.raises(DataError, match="does not support: \\['extra'\\]"):
        ReleaseImporter().convert({**weights, "extra": torch.ones(1)})
    short = {name: w for name, w in weights.items() if not name.startswith("project_out_1")}
    with pytest.raises(DataError, match=r"lack 'project_out_1\.weight'"):
        ReleaseImporter().convert(short)
    torn = {**weights, "project_in_1.conv.weight": weights["project_in_1.weight"] + 1}
    with pytest.raises(DataError, match="copies of each other, but differ"):
        ReleaseImporter().convert(torn)
    with pytest.raises(DataError, match="expected a state dict"):
        ReleaseImporter().convert([1, 2])
