"""From a component's name to its class: what a spec may get wrong, local files, and the doctor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusekit.authoring.doctor import Finding, examine
from fusekit.errors import PluginError, UsageError
from fusekit.plugin.loader import PluginPolicy, PluginReport, load_plugins
from fusekit.plugin.registry import Registry
from fusekit.plugin.specs import ComponentSpec, component
from tests.plugin.distributions import BROKEN, CONFIG, install

HEAD = "from fusekit.interfaces import WeightsImporter\nfrom fusekit.interfaces.config import ComponentConfig, Field\n"
CASES: dict[str, tuple[str, str]] = {
    "import fails": ("import brick", "ModuleNotFoundError: No module named 'brick'"),
    "import exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "no class": ("Other = 1", "ImportError: module parts_of_toy does not define Part"),
    "no class but a function": ("def Part(): ...", "parts_of_toy:Part is not a WeightsImporter"),
    "another base": ("class Part: ...", "parts_of_toy:Part is not a WeightsImporter"),
    "a Config that is none": (
        HEAD + "class Part(WeightsImporter):\n    Config = dict\n    def convert(self, released): ...",
        "parts_of_toy:Part has no Config that is a ComponentConfig",
    ),
    "abstract": (
        HEAD + "class Part(WeightsImporter):\n    Config = ComponentConfig",
        "parts_of_toy:Part does not implement convert",
    ),
}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("fusekit_", "parts_")):
            del sys.modules[name]


def registry_of(kind: str = "importer", config: str | None = None) -> Registry:
    """One loaded plugin with the component ``toy.part`` in the module ``parts_of_toy``."""
    spec = component(kind, "toy.part", target="parts_of_toy:Part", summary="a part", config=config)
    return Registry([PluginReport("toy", "fusekit-toy", "1.0", "fusekit_toy", components=(spec,))])


@pytest.mark.parametrize("case", CASES)
def test_a_class_that_breaks_the_contract(site: Path, case: str) -> None:
    source, message = CASES[case]
    (site / "parts_of_toy.py").write_text(source)
    with pytest.raises(PluginError) as caught:
        registry_of().component_class("importer", "toy.part")
    assert caught.value.message == (f"importer 'toy.part' (from fusekit-toy 1.0) cannot be used: {message}")
    assert "fusekit plugins show toy" in str(caught.value.hint)
    wrong = [f for f in examine(registry_of(), imports=True) if f.severity == "wrong"]
    assert [finding.text for finding in wrong] == [caught.value.message]


def test_a_missing_module_is_named() -> None:
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'parts_of_toy'"):
        registry_of().component_class("importer", "toy.part")


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("from fusekit.guidance.task import TaskGuidance", "a subclass of fusekit.interfaces.GuidanceMaker"),
        ("from fusekit.interfaces import Path, Pathway", "Path is called AttributionPath"),
        ("import brick", "install the package that provides the module 'brick'"),
        ("import fusekit_of_another", "this is a bug in the plugin"),
    ],
)
def test_a_failed_import_says_what_to_do(site: Path, source: str, advice: str) -> None:
    """Above all for a plugin that was written when guidance was not a component."""
    (site / "parts_of_toy.py").write_text(source)
    with pytest.raises(PluginError) as caught:
        registry_of().component_class("importer", "toy.part")
    assert advice in str(caught.value.hint)
    assert "fusekit plugins show toy" in str(caught.value.hint)


def test_a_local_file_with_a_former_name_says_what_to_do(site: Path) -> None:
    (site / "old.py").write_text("from fusekit.interfaces import Path, Pathway")
    with pytest.raises(PluginError) as caught:
        Registry([]).add_local(site / "old.py")
    assert "Path is called AttributionPath" in str(caught.value.hint)


def test_ctrl_c_while_a_component_is_imported(site: Path) -> None:
    (site / "parts_of_toy.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry_of().component_class("importer", "toy.part")


def test_config_apart_from_the_class(site: Path) -> None:
    good = HEAD + CONFIG + "class Part(WeightsImporter):\n    def convert(self, released): ...\n"
    (site / "parts_of_toy.py").write_text(good + "    Config = Config\n")
    registry = registry_of(config="parts_of_toy:Config")
    assert "width" in registry.config_class("importer", "toy.part").model_fields
    assert registry.component_class("importer", "toy.part").__name__ == "Part"
    registry = registry_of(config="fusekit.interfaces.config:ComponentConfig")
    with pytest.raises(PluginError, match="the Config of parts_of_toy:Part is not"):
        registry.component_class("importer", "toy.part")
    with pytest.raises(PluginError, match="parts_of_toy:Part is not a ComponentConfig"):
        registry_of(config="parts_of_toy:Part").config_class("importer", "toy.part")


def test_unknown_names() -> None:
    registry = registry_of()
    with pytest.raises(PluginError, match=r"no importer named 'toy\.prt'; did you mean 'toy\.part'"):
        registry.find("importer", "toy.prt")
    with pytest.raises(PluginError, match=r"'toy\.part' is of kind importer, not task"):
        registry.find("task", "toy.part")
    with pytest.raises(PluginError) as caught:
        registry.find("task", "nowhere.net")
    assert caught.value.hint == "fusekit plugins list --kind task shows what is installed"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "moon"}, "unknown kind 'moon'"),
        ({"name": "part"}, "not of the form namespace.component"),
        ({"name": "Toy.part"}, "not of the form namespace.component"),
        ({"target": "toy.Part"}, "target 'toy.Part' is not of the form package.module:Class"),
        ({"config": "toy"}, "config 'toy' is not of the form package.module:Class"),
        ({"summary": " "}, "has no summary"),
    ],
)
def test_specs_are_checked_however_they_are_made(changed: dict[str, str], message: str) -> None:
    spec = {"kind": "task", "name": "toy.part", "target": "toy:Part", "summary": "a part", **changed}
    with pytest.raises(ValueError, match=message):
        ComponentSpec(**spec)
    rest = {key: value for key, value in spec.items() if key not in ("kind", "name")}
    with pytest.raises(ValueError, match=message):
        component(spec["kind"], spec["name"], **rest)


LOCAL = """\
from fusekit.plugin import component, hookimpl

@hookimpl
def fusekit_components():
    return [component("task", "local.{0}", target=f"{{__name__}}:Net", summary="a network")]

class Net: ...
"""


def test_local_files(site: Path) -> None:
    registry = Registry([])
    first, second = site / "my-seg.py", site / "other.py"
    first.write_text(LOCAL.format("seg"))
    report = registry.add_local(first)
    assert report.components[0].target == "fusekit_local_my_seg:Net"
    registry.add_local(first)  # again, as in a notebook
    assert len(registry.reports) == 1

    second.write_text(LOCAL.format("seg"))
    with pytest.raises(PluginError, match=r"my-seg\.py already defines a task 'local\.seg'"):
        registry.add_local(second)
    second.write_text(LOCAL.format("another"))
    registry.add_local(second)
    assert [spec.name for spec in registry.specs("task")] == ["local.another", "local.seg"]
    first.write_text(LOCAL.format("renamed"))
    registry.add_local(first)
    assert [spec.name for spec in registry.specs("task")] == ["local.another", "local.renamed"]

    (site / "below").mkdir()
    same_name = site / "below" / "other.py"
    same_name.write_text(LOCAL.format("third"))
    with pytest.raises(UsageError, match=r"other\.py has the same name"):
        registry.add_local(same_name)


def test_local_files_that_do_not_load(site: Path) -> None:
    registry = Registry([])
    with pytest.raises(UsageError, match=r"absent\.py: no such file"):
        registry.add_local(site / "absent.py")
    with pytest.raises(UsageError, match="not a Python file"):
        registry.add_local(site)
    for source, message in [
        ("def def", r"SyntaxError: invalid syntax \(mine.py, line 1\)"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("x = 1", "it does not implement the hook fusekit_components"),
        (
            LOCAL.format("x").replace("local.x", "mine.x"),
            "'mine.x' is outside its plugin's namespace 'local'",
        ),
    ]:
        (site / "mine.py").write_text(source)
        with pytest.raises(PluginError, match=message) as caught:
            registry.add_local(site / "mine.py")
        assert "fix the file; --debug shows the traceback" in str(caught.value.hint)
        assert "Traceback" in str(caught.value.__cause__)
    assert registry.reports == []


def texts(findings: list[Finding], severity: str) -> str:
    return "\n".join(f"{f.text} | {f.remedy}" for f in findings if f.severity == severity)


def test_doctor_on_broken_and_doubtful_installs(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    install(site, "fusekit-toy", requires=("fusekit>=1", "numpy"))
    install(elsewhere, "fusekit-toy", version="0.9")
    BROKEN["noimport"].install(site, "noimport")
    monkeypatch.syspath_prepend(elsewhere)
    findings = examine(Registry(load_plugins(PluginPolicy(disabled=frozenset({"toy"})))), imports=False)
    assert "noimport (fusekit-noimport 1.0): broken, ModuleNotFoundError" in texts(findings, "wrong")
    notes = texts(findings, "note")
    assert "toy (fusekit-toy 0.9): disabled, switched off with -p no:toy" in notes
    assert f"fusekit-toy is installed 2 times: 0.9 in {elsewhere}, 1.0 in {site} | pip uninstall" in notes
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(elsewhere)])
    notes = texts(examine(Registry([]), imports=False), "note")
    assert "fusekit-toy requires 'fusekit', which is another project on the package index" in notes
    assert "installed 2 times" not in notes


def test_the_second_scan(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agree = "two independent scans of the metadata agree"
    assert agree in texts(examine(Registry([]), imports=False), "ok")
    # Only the other scan reads egg-info folders whose metadata is gone.
    stale = site / "fusekit_stale-1.0.egg-info"
    stale.mkdir()
    (stale / "entry_points.txt").write_text("[fusekit]\nstale = fusekit_stale\n")
    (stale / "PKG-INFO").write_text("Name: fusekit-stale\nVersion: 1.0\n")
    assert agree in texts(examine(Registry([]), imports=False), "ok")
    (stale / "PKG-INFO").unlink()
    notes = texts(examine(Registry([]), imports=False), "note")
    assert "entry point stale = fusekit_stale is found by only one of the two scans of the metadata" in notes
    (stale / "entry_points.txt").write_bytes(b"[other]\n\xff\n")
    findings = examine(Registry([]), imports=False)
    assert "the second scan of the metadata stopped: UnicodeDecodeError" in texts(findings, "note")
    assert f"entry points in {stale} cannot be read: UnicodeDecodeError" in texts(findings, "wrong")


def test_doctor_blames_torch_where_torch_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    wrong = texts(examine(registry_of(), imports=True), "wrong")
    assert wrong.startswith("torch cannot be imported: ModuleNotFoundError")
    assert "toy.part" not in wrong
