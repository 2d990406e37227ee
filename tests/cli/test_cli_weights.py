"""`fusekit weights`: importing what authors released, and every way in which that is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.slow

Call = Callable[..., Any]
CHANNELS = 4


class RunsCode:
    """Unpickling it calls ``os.mkdir``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def released() -> dict[str, Tensor]:
    """A state dict in the layout of UAAFusion's release: one stage of four channels, all zero."""
    half = CHANNELS // 2
    units = {  # channels in, between and out
        "init_conv_ir": (1, half, half),
        "init_conv_vi": (1, half, half),
        "init_conv_f0": (1, half, half),
        "blockflow.0.conv1": (1, CHANNELS, CHANNELS),
        "blockflow.0.conv2": (3 * CHANNELS, CHANNELS, CHANNELS),
        "blockflow.0.conv3": (CHANNELS, CHANNELS, CHANNELS),
        "blockflow.0.conv4.0": (CHANNELS, half, 1),
        "blockflow.0.conv5": (3 * CHANNELS, CHANNELS, CHANNELS),
        "blockflow.0.conv6": (CHANNELS, CHANNELS, CHANNELS),
    }
    layers = {f"blockflow.0.lstm.conv_{letter}{g}": (CHANNELS, CHANNELS) for letter in "xh" for g in "fioj"}
    state = {"alpha": torch.zeros(1)}
    for name, (inputs, between, outputs) in units.items():
        layers |= {f"{name}.conv_unit.0": (inputs, between), f"{name}.conv_unit.2": (between, outputs)}
        state[f"{name}.conv_unit.1.weight"] = torch.zeros(1)
    for name, (inputs, outputs) in layers.items():
        state |= {f"{name}.weight": torch.zeros(outputs, inputs, 3, 3), f"{name}.bias": torch.zeros(outputs)}
    return state


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "released.pth"
    torch.save(released(), path)
    return path


def test_import_then_show(fusekit: Call, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    done = fusekit("weights", "import", "uaafusion", weights, "-o", out)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{out}: uaafusion.unfolding\n")
    assert "  init_conv_f0 was dropped: the released network never uses it\n" in done.out

    shown = fusekit("weights", "show", out)
    assert shown.code == 0
    card = json.loads(shown.out)
    assert card["roles"] == ["infrared", "visible"]
    assert card["model"]["backbone"]["params"]["channels"] == CHANNELS
    assert card["provenance"]["imported_by"] == "uaafusion.release"
    assert card["provenance"]["from"] == "released.pth"
    assert len(card["provenance"]["sha256"]) == 64


def test_an_existing_file_is_not_replaced_unless_asked(fusekit: Call, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    out.write_text("mine")
    done = fusekit("weights", "import", "uaafusion.release", weights, "-o", out)
    assert (done.code, out.read_text()) == (2, "mine")
    assert f"{out} exists" in done.err
    assert "--overwrite replaces it" in done.err
    assert fusekit("weights", "import", "uaafusion.release", weights, "-o", out, "--overwrite").code == 0
    assert fusekit("weights", "show", out).code == 0


def refused(fusekit: Call, tmp_path: Path, name: str, file: Path, out: str = "x.safetensors") -> tuple[int, str]:
    """Exit code and message of an import that must leave nothing behind."""
    done = fusekit("weights", "import", name, file, "-o", tmp_path / out)
    assert "Traceback" not in done.err
    assert not (tmp_path / out).exists()
    return done.code, done.err


def test_wrong_arguments(fusekit: Call, weights: Path, tmp_path: Path) -> None:
    code, err = refused(fusekit, tmp_path, "uaafusion", weights, "x.pth")
    assert (code, "the name of a model file must end in .safetensors" in err) == (2, True)
    code, err = refused(fusekit, tmp_path, "uafusion", weights)
    assert (code, "no importer 'uafusion'; did you mean 'uaafusion'?" in err) == (3, True)
    assert "installed: " in err
    assert "uaafusion.release" in err
    code, err = refused(fusekit, tmp_path, "uaafusion", tmp_path / "absent.pth")
    assert (code, "absent.pth" in err) == (4, True)


def test_a_pickle_is_refused_without_being_run(fusekit: Call, tmp_path: Path) -> None:
    evil, made = tmp_path / "evil.pth", tmp_path / "made_by_the_pickle"
    torch.save({"alpha": RunsCode(made)}, evil)
    code, err = refused(fusekit, tmp_path, "uaafusion", evil)
    assert code == 4
    assert "contains more than tensors and was not read, because reading it could run code" in err
    assert not made.exists()
    torch.load(evil, weights_only=False)  # the file does what this test says it does
    assert made.exists()


def test_files_that_hold_something_else(fusekit: Call, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    incomplete, excessive = released(), released()
    del incomplete["blockflow.0.conv3.conv_unit.0.bias"]
    excessive["blockflow.1.conv3.conv_unit.0.bias"] = torch.zeros(4)
    misshapen = {**released(), "init_conv_ir.conv_unit.0.bias": torch.zeros(7)}
    for content, message in [
        ({"weight": torch.zeros(1)}, "released weights lack 'alpha'"),
        (incomplete, "released weights lack 'blockflow.0.conv3.conv_unit.0.bias'"),
        (excessive, "hold 1 tensors that this importer does not support: ['blockflow.1.conv3.conv_unit.0.bias']"),
        (misshapen, "does not fit the model: backbone.source_features.0.0.bias is (7,), the model has (2,)"),
        ([1, 2], "expected a state dict, found list"),
        ({**released(), 7: torch.zeros(1)}, "have the key 7, which is not a name of a weight"),
        ({"fusion": {7: torch.zeros(1)}}, "have the key 7, which is not a name of a weight"),
    ]:
        torch.save(content, file)
        code, err = refused(fusekit, tmp_path, "uaafusion", file)
        assert (code, message in err) == (4, True), err
    torch.save({7: torch.zeros(1)}, file)
    assert "have the key 7" in refused(fusekit, tmp_path, "refusion", file)[1]
    for damage in (b"", b"text", weights.read_bytes()[:200]):
        file.write_bytes(damage)
        assert refused(fusekit, tmp_path, "uaafusion", file)[0] == 4


def test_show_refuses_what_is_no_model_file(fusekit: Call, weights: Path, tmp_path: Path) -> None:
    for file, message in [(tmp_path / "absent.safetensors", "no model file"), (weights, "not a readable")]:
        done = fusekit("weights", "show", file)
        assert (done.code, done.out) == (4, "")
        assert message in done.err
