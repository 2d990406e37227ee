"""One plugin at a time: whatever is wrong with one is recorded, and the others load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusekit.errors import PluginError
from fusekit.plugin.discovery import discover, scan
from fusekit.plugin.loader import PluginPolicy, PluginReport, load_plugins
from fusekit.plugin.registry import Registry
from tests.plugin.distributions import BROKEN, face, install, install_all


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("fusekit_"):
            del sys.modules[name]


def load(site: Path, policy: PluginPolicy | None = None) -> dict[str, PluginReport]:
    """Reports by distribution."""
    return {r.distribution: r for r in load_plugins(policy or PluginPolicy(), discover([str(site)]))}


@pytest.mark.parametrize("namespace", BROKEN)
def test_each_fault_is_named_and_stops_nobody_else(site: Path, namespace: str) -> None:
    broken = BROKEN[namespace]
    install(site, "fusekit-a-healthy", namespace="ahealthy")
    broken.install(site, namespace)
    install(site, "fusekit-z-healthy", namespace="zhealthy")
    reports = load(site)
    report = reports[f"fusekit-{namespace}"]
    assert (report.state, report.namespace, report.version) == (broken.state, namespace, "1.0")
    assert broken.reason in report.reason
    assert "\n" not in report.reason
    assert report.hint.startswith("pip install ")
    assert bool(report.trace) == broken.traced
    assert report.components == ()
    for healthy in ("fusekit-a-healthy", "fusekit-z-healthy"):
        assert (reports[healthy].state, len(reports[healthy].components)) == ("loaded", 1)

    with pytest.raises(PluginError) as caught:
        Registry(list(reports.values())).find("backbone", f"{namespace}.net")
    assert caught.value.exit_code == 3
    for part in (f"fusekit-{namespace}", report.state, broken.reason):
        assert part in caught.value.message
    assert f"fusekit plugins show {namespace}" in str(caught.value.hint)


def test_all_at_once(site: Path) -> None:
    install_all(site)
    reports = load(site)
    assert {name for name, report in reports.items() if report.state == "loaded"} == {
        "fusekit-healthy",
        "fusekit-squatter",  # nobody else here is called uaafusion
    }
    for namespace, broken in BROKEN.items():
        assert broken.reason in reports[f"fusekit-{namespace}"].reason
    assert "unrelated" not in reports


@pytest.mark.parametrize(
    ("declared", "requires", "mends"),
    [
        (">=99", "", "image-fusekit"),
        ("~=99.0", "", "image-fusekit"),
        ("==99.*", "", "image-fusekit"),
        ("<1.0", "", "fusekit-toy"),
        (">=0.1,<0.9", "", "fusekit-toy"),
        ("", "image-fusekit>=99", "image-fusekit"),
        ("", "image-fusekit<0.0.2", "fusekit-toy"),
    ],
)
def test_the_hint_names_what_is_too_old(site: Path, declared: str, requires: str, mends: str) -> None:
    before = f"FUSEKIT_API = {declared!r}" if declared else ""
    install(site, "fusekit-toy", face("[]", before), requires=(requires,) if requires else ())
    report = load(site)["fusekit-toy"]
    assert (report.state, report.hint) == ("incompatible", f"pip install --upgrade {mends}")


def test_ctrl_c_passes_through(site: Path) -> None:
    install(site, "fusekit-patient", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(site)


def test_of_two_strangers_with_one_name_neither_wins(site: Path) -> None:
    install(site, "fusekit-rival-a", namespace="rivals")
    install(site, "fusekit-rival-b", namespace="rivals")
    reports = load(site)
    for name in ("fusekit-rival-a", "fusekit-rival-b"):
        assert reports[name].state == "conflict"
        assert reports[name].reason == (
            "namespace 'rivals' is claimed by fusekit-rival-a (fusekit_rival_a) and fusekit-rival-b (fusekit_rival_b)"
        )
        assert reports[name].hint == f"uninstall one of them: pip uninstall {name}"
    assert not any(module in sys.modules for module in ("fusekit_rival_a", "fusekit_rival_b"))
    with pytest.raises(PluginError, match="is in conflict: namespace 'rivals' is claimed by"):
        Registry(list(reports.values())).find("backbone", "rivals.net")


def test_nobody_takes_the_name_of_a_built_in(site: Path) -> None:
    install(site, "image-fusekit", namespace="own")
    install(site, "fusekit-own", "raise AssertionError('imported')")
    reports = load(site)
    assert list(reports) == ["image-fusekit", "fusekit-own"]
    assert reports["image-fusekit"].state == "loaded"
    assert reports["fusekit-own"].state == "conflict"
    found = Registry(list(reports.values())).find("backbone", "own.net")
    assert found.target == "image_fusekit:Net"


def test_the_local_namespace_is_kept(site: Path) -> None:
    install(site, "fusekit-borrower", namespace="local")
    assert load(site)["fusekit-borrower"].reason == "the namespace 'local' is reserved for --with FILE.py"


def test_duplicate_metadata_counts_once(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As an editable install leaves it: metadata in the checkout and in site-packages, of two versions."""
    checkout = tmp_path_factory.mktemp("checkout")
    install(site, "fusekit-toy")
    install(checkout, "fusekit-toy", version="0.9", value="fusekit_toy_of_old")
    path = [str(site), str(checkout)]
    assert [c.version for c in discover(path)] == ["1.0"]
    assert [c.version for c in discover(path[::-1])] == ["0.9"]
    assert len(scan(path)) == 2
    assert len(scan([str(site), str(site)])) == 1
    assert [r.state for r in load_plugins(PluginPolicy(), discover(path))] == ["loaded"]


def test_readable_metadata_comes_before_damaged(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    leftover = tmp_path_factory.mktemp("leftover")
    install(site, "fusekit-toy")
    (install(leftover, "fusekit-toy", version="0.9") / "METADATA").unlink()
    found = discover([str(leftover), str(site)])
    assert [(c.version, c.fault) for c in found] == [("1.0", "")]


def test_the_leavings_of_an_interrupted_uninstall_are_ignored(site: Path) -> None:
    info = install(site, "fusekit-toy", version="0.9", value="fusekit_toy_of_old")
    info.rename(info.with_name("~usekit_toy-0.9.dist-info"))
    assert discover([str(site)]) == []


def test_requirements_that_are_met_or_do_not_apply(site: Path) -> None:
    requires = ("image-fusekit>=0.0.1", "image-fusekit>=99; extra == 'future'", "== nonsense ==")
    install(site, "fusekit-toy", requires=requires)
    assert load(site)["fusekit-toy"].state == "loaded"


def test_what_a_plugin_prints_goes_to_stderr(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "fusekit-chatty", "print('welcome')\nfrom fusekit.plugin import hookimpl\n")
    load(site)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "welcome\n")


def test_policy(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "image-fusekit", namespace="own")
    for name in ("fusekit-one", "fusekit-two"):
        install(site, name)

    def states(policy: PluginPolicy) -> dict[str, str]:
        return {r.namespace: f"{r.state} {r.reason}".strip() for r in load(site, policy).values()}

    assert states(PluginPolicy()) == {"own": "loaded", "one": "loaded", "two": "loaded"}
    assert states(PluginPolicy(third_party=False)) == {
        "own": "loaded",
        "one": "disabled switched off with --no-plugins",
        "two": "disabled switched off with --no-plugins",
    }
    assert states(PluginPolicy(disabled=frozenset({"own", "two"}))) == {
        "own": "disabled switched off with -p no:own",
        "one": "loaded",
        "two": "disabled switched off with -p no:two",
    }
    for value, loaded in ((" two ,", {"own", "two"}), ("", {"own"}), ("nobody", {"own"})):
        monkeypatch.setenv("FUSEKIT_PLUGINS", value)
        assert {n for n, s in states(PluginPolicy.from_environment()).items() if s == "loaded"} == loaded
    assert states(PluginPolicy.from_environment())["one"] == "disabled not listed in FUSEKIT_PLUGINS"
    monkeypatch.delenv("FUSEKIT_PLUGINS")
    assert PluginPolicy.from_environment() == PluginPolicy()


def test_a_switched_off_plugin_is_not_imported(site: Path) -> None:
    install(site, "fusekit-exits", "raise AssertionError('imported')")
    report = load(site, PluginPolicy(disabled=frozenset({"exits"})))["fusekit-exits"]
    assert (report.state, report.trace) == ("disabled", "")
    with pytest.raises(PluginError, match="is disabled: switched off with -p no:exits"):
        Registry([report]).find("task", "exits.net")
