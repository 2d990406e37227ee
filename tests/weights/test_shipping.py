"""Weights that plugins ship: how they are declared, found, and refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusekit.errors import PluginError, UsageError
from fusekit.plugin import weights
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.shipped import default_weights, find_weights, weights_file
from fusekit.recipe.model_location import locate_model
from tests.weights.runs import FUSION

Call = Callable[..., Any]
Ship = Callable[..., Path]


def report(
    namespace: str, *names: str, distribution: str = "", origin: str = "", default: bool = False
) -> PluginReport:
    specs = tuple(
        weights(f"{namespace}.{n}", file="w.safetensors", summary="w", task="t", default=default) for n in names
    )
    return PluginReport(
        namespace, distribution or f"fusekit-{namespace}", "1.0", namespace, origin=origin, weights=specs
    )


def test_the_name_works_wherever_a_model_is_named(fusekit: Call, ship: Ship, tmp_path: Path) -> None:
    package = ship()
    listed = fusekit("weights", "list", "--json")
    assert listed.code == 0
    (row,) = [row for row in json.loads(listed.out) if row["full_name"] == "ship.tiny"]
    assert (row["name"], row["task"], row["default"], row["problem"]) == ("tiny", "infrared-visible", True, "")
    assert row["bytes"] == (package / "files" / "tiny.safetensors").stat().st_size
    assert "1 set of weights" in fusekit("plugins", "list").out
    assert "ship.tiny" in fusekit("plugins", "show", "ship").out
    for name in ("tiny", "ship.tiny"):
        assert json.loads(fusekit("weights", "show", name).out)["roles"] == ["infrared", "visible"]
        assert fusekit("weights", "verify", name).code == 0

    recipe = tmp_path / "recipe.yaml"
    part = {"from": "tiny", "freeze": True}
    recipe.write_text(json.dumps({**FUSION, "model": {"backbone": part}, "train": None}))
    assert fusekit("validate", recipe).code == 0
    resolved = fusekit("recipes", "show", recipe, "--resolved")
    assert "channels: 8" in resolved.out


def test_load_and_a_part_take_the_shipped_values(fusekit: Call, ship: Ship) -> None:
    ship()
    import fusekit as library

    model = library.load("tiny")
    assert model.card is not None
    plain = {**FUSION, "model": {"backbone": {"from": "tiny"}}}
    system = library.assemble(library.Recipe.from_dict(plain))
    for name, value in system.backbone.state_dict().items():
        assert bool((value == model.backbone.state_dict()[name]).all())


def test_a_missing_file_is_the_fault_of_its_plugin_only(fusekit: Call, ship: Ship, tmp_path: Path) -> None:
    ship(namespace="whole")
    (ship(namespace="hollow") / "files" / "tiny.safetensors").unlink()
    done = fusekit("weights", "list")
    assert done.code == 3
    assert "weights 'hollow.tiny' of fusekit-hollow 1.0 cannot be used: the file files/tiny.safetensors is missing" in (
        " ".join(done.err.split())
    )
    assert "unusable" in done.out
    assert "parameters" in done.out
    assert fusekit("weights", "show", "hollow.tiny").code == 3
    assert fusekit("weights", "verify", "whole.tiny").code == 0
    doctor = fusekit("plugins", "doctor", "--no-imports")
    assert doctor.code == 3
    assert "hollow.tiny" in doctor.out
    assert "several plugins ship weights 'tiny'" in doctor.out


def test_two_plugins_with_one_name(fusekit: Call, ship: Ship) -> None:
    ship(namespace="one")
    ship(namespace="other")
    done = fusekit("weights", "show", "tiny")
    assert done.code == 3
    assert "one (fusekit-one) and other (fusekit-other) both ship weights 'tiny'" in " ".join(done.err.split())
    assert "use a full name: one.tiny, other.tiny" in done.err
    assert fusekit("weights", "show", "one.tiny").code == 0


def test_our_own_weights_keep_their_name_and_stay_the_default() -> None:
    own = report("weights", "a", distribution="image-fusekit", default=True)
    registry = Registry([report("theirs", "a", default=True), own])
    found = find_weights("a", registry)
    assert found is not None
    assert found.name == "weights.a"
    chosen = default_weights("t", registry)
    assert chosen is not None
    assert chosen.name == "weights.a"
    assert find_weights("theirs.a", registry) is not None
    with pytest.raises(PluginError, match=r"several default weights for t: one\.a, two\.b"):
        default_weights("t", Registry([report("one", "a", default=True), report("two", "b", default=True)]))


def test_a_file_outside_the_package_is_refused(tmp_path: Path) -> None:
    package, outside = tmp_path / "package", tmp_path / "outside.safetensors"
    package.mkdir()
    outside.write_bytes(b"x")
    (package / "w.safetensors").symlink_to(outside)
    registry = Registry([report("p", "a", origin=str(package / "__init__.py"))])
    spec = find_weights("p.a", registry)
    assert spec is not None
    with pytest.raises(PluginError, match="lies outside the plugin's package"):
        weights_file(spec, registry)


@pytest.mark.parametrize(
    "file",
    [
        "../w.safetensors",
        "/w.safetensors",
        "a/../../w.safetensors",
        "a\\w.safetensors",
        "w.pth",
        "",
        "a//w.safetensors",
    ],
)
def test_a_file_must_be_a_model_file_below_the_package(file: str) -> None:
    with pytest.raises(ValueError, match=r"is not a \.safetensors file inside the package"):
        weights("p.a", file=file, summary="w", task="t")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("return None", "fusekit_weights() returned None, not a list of weights"),
        ("return 'a'", "fusekit_weights() returned 'a', not a list of weights"),
        ("return [1]", "fusekit_weights() returned 1; make specs with fusekit.plugin.weights"),
        (
            "return [weights('other.a', file='a.safetensors', summary='w', task='t')]",
            "weights 'other.a' is outside its plugin's namespace 'bad'",
        ),
        ("return [weights('bad.a', file='a.safetensors', summary=' ', task='t')]", "weights 'bad.a' have no summary"),
        ("return [weights('bad.A', file='a.safetensors', summary='w', task='t')]", "weights name 'bad.A' is not of"),
        ("return [weights('bad.a', file='a.safetensors', summary='w', task='T t')]", "task 'T t' is not a word"),
        ("return [weights('bad.a', file='a.safetensors', summary='w', task='t')] * 2", "are called 'bad.a'"),
    ],
)
def test_a_wrong_declaration_breaks_its_plugin_only(fusekit: Call, ship: Ship, code: str, reason: str) -> None:
    ship(namespace="bad", code=code)
    ship(namespace="good")
    states = {entry["namespace"]: entry for entry in json.loads(fusekit("plugins", "list", "--json").out)}
    assert states["bad"]["state"] == "broken"
    assert reason in states["bad"]["reason"]
    assert states["good"]["state"] == "loaded"
    done = fusekit("weights", "show", "tiny")
    assert done.code == 0
    assert "plugins not loaded: fusekit-bad" in done.err


def test_a_single_file_cannot_ship_weights(fusekit: Call, site: Path, tmp_path: Path) -> None:
    local = tmp_path / "mine.py"
    local.write_text(
        "from fusekit.plugin import hookimpl, weights\n\n@hookimpl\ndef fusekit_weights():\n"
        "    return [weights('local.a', file='a.safetensors', summary='w', task='t')]\n"
    )
    done = fusekit("weights", "verify", "--with", local)
    assert done.code == 3
    assert "only a package can contain the files of weights" in " ".join(done.err.split())


def test_models_in_the_working_directory(
    ship: Ship, fusekit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = ship() / "files" / "tiny.safetensors"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()  # without a model, as a folder of results
    assert locate_model("tiny") == shipped.resolve()
    shutil.copy(shipped, tmp_path / "tiny" / "model.safetensors")
    with pytest.raises(
        UsageError, match="is the name of shipped weights and of a model in the working directory"
    ) as caught:
        locate_model("tiny")
    assert caught.value.hint == "write ./tiny for the model in the working directory, or ship.tiny for the weights"
    assert locate_model("./tiny") == Path("tiny/model.safetensors")
    assert locate_model(Path("tiny")) == Path("tiny/model.safetensors")
    assert locate_model("ship.tiny") == shipped.resolve()


def test_an_unknown_name_names_the_nearest(fusekit: Call, ship: Ship) -> None:
    ship()
    done = fusekit("fuse", "a.png", "b.png", "-o", "out.png", "--model", "tinny")
    assert done.code == 2
    assert "did you mean 'tiny'" in done.err
    assert re.search(r"shipped weights: .*\btiny\b", " ".join(done.err.split()))


def test_a_name_that_is_also_a_method(fusekit: Call, ship: Ship) -> None:
    ship("weights('ship.mean', file='files/tiny.safetensors', task='infrared-visible', summary='Tiny')")
    done = fusekit("fuse", "a.png", "b.png", "-o", "out.png", "--model", "mean")
    assert done.code == 2
    assert "'mean' is the name of weights and of a method" in done.err


@pytest.mark.parametrize(
    "words", [["weights", "list"], ["weights", "--help"], ["plugins", "list"], ["weights", "card", "X"]]
)
def test_commands_that_only_read_import_no_torch(words: list[str], tiny: Path) -> None:
    words = [str(tiny) if word == "X" else word for word in words]
    code = (
        "import sys\nfrom fusekit.cli.app import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\nassert 'huggingface_hub' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_built_in_weights_are_small_and_verified() -> None:
    package = Path(__file__).resolve().parents[2] / "plugins" / "fusekit_weights"
    files = sorted((package / "files").glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 25e6
    import fusekit_weights

    declared = fusekit_weights.fusekit_weights()
    assert sorted(spec.file for spec in declared) == [f"files/{file.name}" for file in files]
    tasks = [spec.task for spec in declared if spec.default]
    assert len(set(tasks)) == len(tasks)


@pytest.mark.slow
@pytest.mark.parametrize("spec", __import__("fusekit_weights").fusekit_weights(), ids=lambda spec: spec.short)
def test_a_built_in_file_gives_its_stored_results(spec: Any) -> None:
    import fusekit_weights
    from fusekit.weights.verification import verify_file

    assert verify_file(Path(fusekit_weights.__file__).parent / spec.file).problems == ()
