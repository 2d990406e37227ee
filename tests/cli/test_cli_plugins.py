"""`fusekit plugins …` and `fusekit doctor` as a user reads them in 80 columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from fusekit.cli.option_text import option_texts
from fusekit.interfaces.config import BackboneRef, ComponentConfig, ComponentRef, Field, StageRef
from fusekit.interfaces.kinds import KINDS
from tests.plugin.distributions import BROKEN, install

pytestmark = pytest.mark.slow

Call = Callable[..., Any]


def test_list(fusekit: Call, site: Path) -> None:
    BROKEN["noimport"].install(site, "noimport")
    done = fusekit("plugins", "list")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert max(map(len, lines)) <= 80
    words = [" ".join(line.split()) for line in lines]  # how wide columns are depends on what is installed
    assert "baselines loaded image-fusekit 0.1.0, 9 components" in words
    at = words.index("noimport broken fusekit-noimport 1.0")
    assert lines[at + 1 : at + 3] == [
        "      ModuleNotFoundError: No module named 'brick'",
        "      more: fusekit plugins show noimport",
    ]
    assert "backbone" in lines
    assert any(line.startswith("  baselines.mean  ") and "Mean of the sources" in line for line in lines)


def test_list_one_kind(fusekit: Call, site: Path) -> None:
    done = fusekit("plugins", "list", "--kind", "stage")
    assert done.out.startswith("stage\n  uaafusion.stage  Gradient step, ")
    assert "baselines" not in done.out
    rows = json.loads(fusekit("plugins", "list", "--kind", "stage", "--json").out)
    assert [s["name"] for row in rows for s in row["components"]] == ["uaafusion.stage"]
    assert "no component of kind stage is" in fusekit("-p", "no:uaafusion", "plugins", "list", "--kind", "stage").out


def test_show_a_plugin(fusekit: Call) -> None:
    done = fusekit("plugins", "show", "uaafusion")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[:3] == [
        "uaafusion  plugin",
        "  from         image-fusekit 0.1.0",
        "  entry point  fusekit_uaafusion",
    ]
    at = lines.index("uaafusion.unfolding  backbone")
    assert "    stages: 5   (integer ≥ 1, ≤ 1000)" in lines[at:]
    assert "    stage: {use: uaafusion.stage}   (a stage)" in lines[at:]
    assert "its options: fusekit plugins show uaafusion.stage" in " ".join(done.out.split())  # lines are wrapped
    assert "uaafusion.release  importer" in lines
    assert lines[-1] == "  no options"


def test_show_a_component(fusekit: Call) -> None:
    done = fusekit("plugins", "show", "tasks.smp")
    assert "tasks.supervised" not in done.out
    assert "    architecture: deeplabv3plus   (text)" in done.out
    assert "    channels: 1   (1 | 3)" in done.out
    assert "    weights: null   (text or null)" in done.out
    assert "    balance: 0.0   (number ≥ 0, ≤ 1)" in done.out
    inherited = fusekit("plugins", "show", "data.msrs").out
    assert "    labelled: required   (required | optional | off)" in inherited
    assert fusekit("plugins", "show", "tasks.smq").code == 3
    assert "did you mean 'tasks.smp'?" in fusekit("plugins", "show", "tasks.smq").err
    assert "did you mean 'tasks'?" in fusekit("plugins", "show", "taks").err


@pytest.mark.parametrize("name", ["raising", "raising.net"])
def test_show_a_broken_plugin(fusekit: Call, site: Path, name: str) -> None:
    BROKEN["raising"].install(site, "raising")
    done = fusekit("plugins", "show", name)
    assert (done.code, done.err) == (0, "")
    assert "  state        broken\n  reason       ZeroDivisionError: division by zero\n" in done.out
    assert "  remedy       pip install --upgrade fusekit-raising, or pip uninstall" in done.out
    assert f'File "{site}/fusekit_raising.py", line 5, in fusekit_components\n    return 1 / 0' in done.out


def test_show_a_name_that_two_strangers_claim(fusekit: Call, site: Path) -> None:
    install(site, "fusekit-squatter", namespace="uaafusion")
    done = fusekit("plugins", "show", "uaafusion")
    assert "  state        conflict\n" in done.out
    assert "namespace 'uaafusion' is claimed by fusekit-squatter" in done.out
    assert "uaafusion.unfolding  backbone" in done.out
    alone = fusekit("plugins", "show", "fusekit-squatter").out
    assert "  state        conflict\n" in alone
    assert "uaafusion.unfolding  backbone" not in alone


def test_show_a_component_whose_config_does_not_import(fusekit: Call, site: Path) -> None:
    source = (
        "from fusekit.plugin import component, hookimpl\n@hookimpl\ndef fusekit_components():\n"
        "    return [component('task', 'toy.net', target='gone:Net', config='gone:Config', summary='[red]')]"
    )
    install(site, "fusekit-toy", source)
    done = fusekit("plugins", "show", "toy")
    assert done.code == 0
    assert "\n  [red]\n" in done.out
    assert "No module named 'gone'" in " ".join(done.out.split())


def test_doctor_of_plugins(fusekit: Call, site: Path) -> None:
    healthy = fusekit("plugins", "doctor")
    assert (healthy.code, healthy.err) == (0, "")
    assert "components can be imported" in healthy.out
    assert "ok     two independent scans of the metadata agree" in healthy.out
    BROKEN["exits"].install(site, "exits")
    done = fusekit("plugins", "doctor", "--no-imports")
    assert done.code == 3
    assert "wrong  exits (fusekit-exits 1.0): broken, SystemExit: I give up\n" in done.out
    assert "       pip install --upgrade fusekit-exits, or pip uninstall fusekit-exits\n" in done.out
    assert "error: 1 problem found\n" in done.err


def test_doctor(fusekit: Call, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MSRS_ROOT", raising=False)
    BROKEN["noimport"].install(site, "noimport")
    done = fusekit("doctor", "--root", tmp_path)
    assert done.code == 0
    rows = {line[:28].strip(): line[29:] for line in done.out.splitlines()}
    assert rows["fusekit"].endswith("(plugin API 1.1)")
    assert rows["plugin uaafusion"] == "loaded"
    assert rows["plugin noimport"] == "broken, ModuleNotFoundError: No module named 'brick'"
    assert rows["torchvision imports"] == "yes"
    assert rows["recipe uaafusion_msrs"] == "no data; see below"
    assert f"{tmp_path}/train/ir/NAME.png" in done.out
    assert "no data; when_missing applies" in fusekit("doctor").out


def test_every_shipped_option_can_be_read(fusekit: Call) -> None:
    """No option of a built-in is shown with a Python type that a user of recipes would not know."""
    known = fusekit("plugins", "list", "--json")
    rows = json.loads(known.out)
    assert {row["namespace"] for row in rows} >= {"baselines", "data", "refusion", "strict", "tasks", "uaafusion"}
    for row in rows:
        out = fusekit("plugins", "show", row["namespace"]).out
        assert "typing." not in out
        assert "class '" not in out
        for spec in row["components"]:
            assert f"{spec['name']}  {spec['kind']}\n" in out
            assert spec["kind"] in KINDS


class Mode(Enum):
    fast = "fast"
    slow = "slow"


class Crop(BaseModel):
    size: int = Field(64, ge=16, multiple_of=16, description="side")
    flip: bool = Field(True, description="mirror")


class Base(ComponentConfig):
    seed: int = Field(description="inherited")


class Everything(Base):
    mode: Mode = Field(Mode.fast, description="")
    crop: Crop = Field(Crop(), description="a section")
    maybe: Crop | None = Field(None, description="")
    size: tuple[int, int] = Field((3, 5), description="")
    names: list[str] = Field(["a b"], min_length=1, max_length=4, description="")
    rates: dict[str, float] = Field({"head": 0.1}, description="")
    pattern: str = Field("a", pattern="[a-z]", min_length=2, description="")
    share: Annotated[float, Field(gt=0)] | None = Field(0.5, description="")
    either: Literal["auto"] | int = Field("auto", description="", alias="pick")
    folder: Path = Field(Path("a/b"), description="")
    stage: StageRef = Field(ComponentRef(use="toy.stage", params={"width": 3}), description="")
    others: list[BackboneRef] = Field(default_factory=list, description="")
    anything: Any = Field("null", description="")


def test_options_in_words() -> None:
    told = [f"{'  ' * o.depth}{o.name}: {o.default} ({o.allowed})" for o in option_texts(Everything)]
    assert told == [
        "seed: None (integer)",
        "mode: fast (fast | slow)",
        "crop:  (section)",
        "  size: 64 (integer ≥ 16, a multiple of 16)",
        "  flip: true (true or false)",
        "maybe: null (section or null)",
        "  size: 64 (integer ≥ 16, a multiple of 16)",
        "  flip: true (true or false)",
        "size: [3, 5] ([integer, integer])",
        'names: ["a b"] (list of text, not empty, at most 4 entries)',
        "rates: {head: 0.1} (mapping of number)",
        "pattern: a (text, at least 2 characters, of the form [a-z])",
        "share: 0.5 (number > 0 or null)",
        "pick: auto (auto or integer)",
        "folder: a/b (path)",
        "stage: {use: toy.stage, params: {width: 3}} (a stage)",
        "others: [] (list of a backbone)",
        'anything: "null" (anything)',
    ]
    assert [o.component for o in option_texts(Everything) if o.component] == ["toy.stage"]
