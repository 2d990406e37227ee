"""`fusekit plugins new`: what it writes works as written, for every kind; what cannot be leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusekit.authoring.scaffold import KINDS_TO_START, component_name, write_plugin
from fusekit.cli.new_plugin import new
from fusekit.errors import UsageError
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.discovery import discover
from fusekit.plugin.loader import PluginPolicy, load_plugins
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow

NAMES = {kind: f"my-{kind}" for kind in KINDS_TO_START} | {"metric": "gap2"}
"""Kind → name of the plugin that is started."""


def module(kind: str) -> str:
    return f"fusekit_{NAMES[kind].replace('-', '_')}"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plugin of every kind, with the metadata that pip would make of its pyproject.toml."""
    site = tmp_path_factory.mktemp("started")
    folders = {}
    for kind, name in NAMES.items():
        folders[kind] = site / f"fusekit-{name}"
        write_plugin(name, kind, folders[kind])
        info = folders[kind] / f"{module(kind)}-0.1.0.dist-info"
        info.mkdir()
        requires = "Requires-Dist: image-fusekit>=0.1,<1"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fusekit-{name}\nVersion: 0.1.0\n{requires}\n")
        (info / "entry_points.txt").write_text(f"[fusekit]\n{name} = {module(kind)}\n")
    return folders


def python(*words: object, folders: dict[str, Path]) -> subprocess.CompletedProcess[str]:
    """Runs Python beside the started plugins, as if they were installed."""
    path = os.pathsep.join(str(folder) for folder in [*folders.values(), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("FUSEKIT_PLUGINS", None)
    site = next(iter(folders.values())).parent
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def test_every_kind_but_the_importer_can_be_started() -> None:
    assert set(KINDS_TO_START) == set(KINDS) - {"importer"}


@pytest.mark.parametrize("kind", KINDS_TO_START)
def test_the_files(started: dict[str, Path], kind: str) -> None:
    folder, name = started[kind], NAMES[kind]
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    code = {path for path in found if path.startswith(module(kind)) and path.endswith(".py")}
    assert {f"{module(kind)}/__init__.py", f"{module(kind)}/config.py"} < code
    assert {
        "README.md",
        "pyproject.toml",
        "recipe.yaml",
        "tests/test_conformance.py",
        ".github/workflows/test.yml",
    } < found
    project = (folder / "pyproject.toml").read_text("utf-8")
    for line in (
        f'name = "fusekit-{name}"',
        'dependencies = ["image-fusekit>=0.1,<1"]',
        f'[project.entry-points.fusekit]\n{name} = "{module(kind)}"',
    ):
        assert f"\n{line}\n" in project
    for path in found:
        text = (folder / path).read_text("utf-8")
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "TODO" not in text
        assert "NotImplementedError" not in text
        assert "${" not in text.replace("${{", "")  # nothing is left to fill in


def test_all_load_with_the_component_that_was_promised(
    started: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in started.values():
        monkeypatch.syspath_prepend(folder)
    reports = load_plugins(PluginPolicy(), discover([str(folder) for folder in started.values()]))
    try:
        assert {report.state for report in reports} == {"loaded"}, [report.reason for report in reports]
        found = {(spec.kind, spec.name) for report in reports for spec in report.components}
        assert found == {(kind, component_name(name, kind)) for kind, name in NAMES.items()}
    finally:
        for kind in NAMES:
            sys.modules.pop(module(kind), None)


def test_starting_and_listing_need_no_torch(started: dict[str, Path]) -> None:
    modules = [name for kind in NAMES for name in (module(kind), f"{module(kind)}.config")]
    program = f"import {', '.join(modules)}, fusekit.cli.new_plugin, sys; print('torch' in sys.modules)"
    done = python("-c", program, folders=started)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_style_is_that_of_this_project(started: dict[str, Path], tmp_path: Path) -> None:
    for kind in KINDS_TO_START:  # names decide about the length of lines
        write_plugin("a", kind, tmp_path / kind / "short")
        write_plugin("a" * 40, kind, tmp_path / kind / "long")
    for words in (("check", "--config", REPOSITORY / "pyproject.toml"), ("check",), ("format", "--check")):
        done = python("-m", "ruff", *words, "--no-cache", ".", tmp_path, folders=started)
        assert done.returncode == 0, done.stdout


def test_recipes_are_valid(started: dict[str, Path]) -> None:
    program = "import sys\nfrom fusekit.recipe.recipe import Recipe\n"
    program += "for path in sys.argv[1:]: print(Recipe.load(path, (), check_data=False).dumps_resolved())"
    done = python("-c", program, *(folder / "recipe.yaml" for folder in started.values()), folders=started)
    assert done.returncode == 0, done.stderr
    for kind, name in NAMES.items():
        assert component_name(name, kind) in done.stdout


@pytest.mark.slow
def test_their_own_tests_pass(started: dict[str, Path]) -> None:
    folders = [folder / "tests" for folder in started.values()]
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    done = python("-m", "pytest", *options, *folders, folders=started)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.slow
def test_the_conformance_check_passes_with_default_options(started: dict[str, Path]) -> None:
    done = python("-m", "fusekit", "plugins", "check", *NAMES.values(), folders=started)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind, name in NAMES.items():
        assert f"passed  {component_name(name, kind)} " in done.stdout


def test_the_command(started: dict[str, Path], tmp_path: Path) -> None:
    command = ("-m", "fusekit", "plugins", "new", "toy", "--kind", "task", "--out", tmp_path / "toy")
    assert python(*command, folders=started).returncode == 0
    again = python(*command, folders=started)
    assert again.returncode == 2
    assert "is not empty; existing files are not overwritten" in again.stderr


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    new("depth-prior", "loss-proposer")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fusekit-depth-prior: a plugin with the loss-proposer depth-prior.contrast"
    assert "  fusekit_depth_prior/contrast.py" in lines
    assert lines[lines.index("next:") + 1 :] == [
        "  cd fusekit-depth-prior",
        "  pip install -e '.[test]'",
        "  pytest",
        "  fusekit plugins check depth-prior",
        "  fusekit validate recipe.yaml",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["fusekit-depth-prior"]
    new("depth-prior", "task", out=Path("a folder/below"))
    assert "  cd 'a folder/below'" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "a folder" / "below" / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("name", "reason", "hint"),
    [
        ("", "lower-case letters and digits", "for example depth-prior"),
        ("My_Plugin", "lower-case letters and digits", "for example my-plugin"),
        ("3d", "lower-case letters and digits", "for example d"),
        ("a--b", "lower-case letters and digits", "for example a-b"),
        ("a.b", "lower-case letters and digits", "for example a-b"),
        ("../up", "lower-case letters and digits", "for example up"),
        ("-p", "lower-case letters and digits", "for example p"),
        ("ü", "lower-case letters and digits", "for example depth-prior"),
        ("a\n", "lower-case letters and digits", "for example a"),
        ("a" * 41, "longer than 40 characters", "choose a shorter one"),
        ("fusekit", "called fusekit-NAME already", "leave fusekit out"),
        ("fusekit-depth", "called fusekit-NAME already", "leave fusekit out: depth"),
        ("class", "a keyword of Python", "for example my-class"),
        ("local", "reserved for --with FILE.py", "for example my-local"),
        *(
            (name, "fusekit itself has a plugin of that name", f"for example my-{name}")
            for name in ("uaafusion", "refusion", "tasks", "baselines", "data", "strict", "ideal", "tang-2022")
        ),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, reason: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_plugin(name, "task", tmp_path / "new")
    assert reason in caught.value.message
    assert hint in str(caught.value.hint)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("moon", "there is no kind 'moon'"),
        ("backbon", "did you mean 'backbone'"),
        ("importer", "its code depends on the released file"),
    ],
)
def test_kinds_that_cannot_be(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        write_plugin("toy", kind, tmp_path / "new")
    assert "backbone, loss-proposer, " in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    for folder, message in (
        (full, "is not empty; existing files are not overwritten"),
        (full / "notes.txt", "is not a folder"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            write_plugin("toy", "task", folder)
        assert "--out" in str(caught.value.hint)
    assert [path.name for path in full.iterdir()] == ["notes.txt"]
    assert (full / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_filled_and_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    written = write_plugin("toy", "task", Path())
    assert tmp_path.stat().st_ino == before
    assert {path.name for path in tmp_path.iterdir()} == {
        ".github",
        "README.md",
        "fusekit_toy",
        "pyproject.toml",
        "recipe.yaml",
        "tests",
    }
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("failing", ["write_text", "rename"])
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, existed: bool) -> None:
    folder = tmp_path / "below" / "toy"
    if existed:
        folder.mkdir(parents=True)
    genuine, calls = getattr(Path, failing), []

    def fail(path: Path, *given: object, **named: object) -> object:
        calls.append(path)
        if len(calls) == (1 if failing == "rename" and not existed else 3):
            raise OSError(28, "No space left on device")
        return genuine(path, *given, **named)

    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(
        UsageError, match="toy cannot be written: No space left on device; everything written so far was removed"
    ):
        write_plugin("toy", "task", folder)
    monkeypatch.undo()
    assert list(tmp_path.rglob("*")) == ([tmp_path / "below", folder] if existed else [])
    assert write_plugin("toy", "task", folder)
