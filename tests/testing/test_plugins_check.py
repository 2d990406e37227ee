"""`fusekit plugins check`, and what authors say about their components: parameters, known gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest

from fusekit.errors import PluginError
from fusekit.plugin.registry import Registry
from fusekit.testing import BackboneContract
from fusekit.testing.check import check, check_component
from tests.command_line import Call
from tests.plugin.distributions import BROKEN, install
from tests.testing import faulty, good
from tests.testing.test_planted_faults import registry_of, spec_of

pytestmark = pytest.mark.slow

TOY = """\
from fusekit.plugin import component, hookimpl

@hookimpl
def fusekit_components():
    return [
        component("backbone", "toy.good", target="toy_parts:Good", config="toy_config:Config", summary="a network"),
        component("backbone", "toy.bad", target="toy_parts:Bad", summary="a network"),
    ]
"""
PARTS = """\
from fusekit.testing.toys import ToyBackbone
from toy_config import Config

class Good(ToyBackbone):
    Config = Config
    check_with = {"params": {"width": 2}}

class Bad(Good):
    check_with = {"known_gaps": {"test_gradient_reaches_every_parameter": "the bias waits for its use"}}

    def __init__(self, config=None, context=None):
        import torch
        super().__init__(config, context)
        self.bias = torch.nn.Parameter(torch.zeros(3))

    def forward(self, sources, *, guidance=None):
        sources[0].clamp_(max=0.5)
        return super().forward(sources)
"""
CONFIG = """\
from fusekit.interfaces.config import ComponentConfig, Field

class Config(ComponentConfig):
    width: int = Field(3, ge=1, description="width of the network")
"""


def toy(site: Path) -> None:
    install(site, "fusekit-toy", TOY, files={"toy_parts.py": PARTS, "toy_config.py": CONFIG})


def test_failing_checks_are_said_with_their_sentence_and_reason(fusekit: Call, site: Path) -> None:
    toy(site)
    code, out, err = fusekit("plugins", "check", "toy")
    assert code == 3
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0].startswith("passed  toy.good  backbone, ")
    at = lines.index("    test_inputs_are_not_changed")
    assert lines[at - 1].startswith("failed  toy.bad  backbone, ")
    assert lines[at + 1].startswith("      It does not change its input images")
    assert "input 0 after the call: expected equal values, found a difference" in " ".join(out.split())
    assert "test_gradient_reaches_every_parameter: known gap: the bias waits" in " ".join(out.split())
    assert lines[-1].startswith("2 components: ")
    assert ", 1 failed, " in lines[-1]
    assert err.startswith("error: 1 check failed\n")


def test_one_component_without_faults(fusekit: Call, site: Path) -> None:
    toy(site)
    code, out, err = fusekit("plugins", "check", "toy.good")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("1 component: ")
    assert "toy.bad" not in out


def test_without_names_all_strangers_are_checked(fusekit: Call, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(site)
    monkeypatch.setenv("FUSEKIT_PLUGINS", "toy")
    rows = json.loads(fusekit("plugins", "check", "--json")[1])
    assert {row["component"] for row in rows} == {"toy.good", "toy.bad"}
    assert {row["state"] for row in rows} == {"passed", "failed", "skipped"}
    failed = [row for row in rows if row["state"] == "failed"]
    assert [row["check"] for row in failed] == ["test_inputs_are_not_changed"]
    assert failed[0]["kind"] == "backbone"
    assert failed[0]["sentence"].endswith(".")


def test_without_any_stranger_a_line_says_so(fusekit: Call) -> None:
    code, out, _ = fusekit("--no-plugins", "plugins", "check")
    assert code == 0
    assert out.startswith("no third-party component is installed")
    assert json.loads(fusekit("--no-plugins", "plugins", "check", "--json")[1]) == []


def test_unknown_names_are_refused_as_by_show(fusekit: Call, site: Path) -> None:
    for name in ("taks", "tasks.smq"):
        shown, checked = fusekit("plugins", "show", name), fusekit("plugins", "check", name)
        assert checked == shown
        assert checked[0] == 3
    BROKEN["raising"].install(site, "raising")
    code, _, err = fusekit("plugins", "check", "raising")
    assert code == 3
    assert "plugin 'raising' of fusekit-raising is broken: ZeroDivisionError: division by zero" in err


def registry() -> Registry:
    return registry_of(spec_of("backbone", "faulty.part", faulty.Glaring))


def test_check_takes_namespaces_distributions_and_components() -> None:
    seen: list[str] = []
    outcomes = check(["faulty.part"], registry=registry(), progress=lambda outcome: seen.append(outcome.check))
    assert [outcome.check for outcome in outcomes] == seen
    assert {o.component for o in outcomes} == {"faulty.part"}
    for name in ("faulty", "fusekit-faulty"):
        assert check([name], registry=registry()) == outcomes
    with pytest.raises(PluginError, match="did you mean 'faulty'"):
        check(["fautly"], registry=registry())


def outcomes_with(target: type, **attributes: Any) -> dict[str, tuple[str, str]]:
    spec = spec_of("backbone", "faulty.part", target)
    return {o.check: (o.state, o.reason) for o in check_component(spec, registry_of(spec), attributes)}


def test_a_known_gap_is_skipped_and_its_end_is_noticed() -> None:
    gaps = {"test_image_is_an_image": "too bright"}
    found = outcomes_with(faulty.Glaring, known_gaps=gaps)
    assert found["test_image_is_an_image"] == ("skipped", "known gap: too bright")
    assert not [name for name, (state, _) in found.items() if state == "failed"]
    closed = outcomes_with(good.Backbone, known_gaps=gaps)["test_image_is_an_image"]
    assert closed == (
        "failed",
        "known_gaps lists test_image_is_an_image (too bright), but the check passes: remove the entry",
    )


def test_a_known_gap_that_is_no_check() -> None:
    with pytest.raises(TypeError, match="no check 'test_image'; did you mean"):

        class Misspelt(BackboneContract):
            name = "faulty.part"
            known_gaps = {"test_image": "too bright"}

    state, reason = outcomes_with(good.Backbone, known_gaps={"test_image": "too bright"})["check_with"]
    assert (state, "no check 'test_image'" in reason) == ("failed", True)


def test_untrained_weights_are_excused_as_long_as_they_rest() -> None:
    check_name = "test_gradient_reaches_every_parameter"
    assert outcomes_with(faulty.Hoarding, untrained=("unused",))[check_name][0] == "passed"
    state, reason = outcomes_with(good.Backbone, untrained=("score.0",))[check_name]
    assert state == "failed"
    assert "`untrained` lists score.0" in reason


def test_a_strategy_may_change_parts_that_need_no_weights() -> None:
    spec = spec_of("strategy", "faulty.part", faulty.Meddling)
    outcomes = check_component(spec, registry_of(spec), {"changes": ("proposer",)})
    assert [outcome.check for outcome in outcomes if outcome.state == "failed"] == []


def test_contracts_run_by_hand() -> None:
    class TestGlaring(BackboneContract):
        name = "faulty.part"
        registry = registry()

    contract = TestGlaring()
    contract.test_image_has_the_size_of_the_sources()
    with pytest.raises(AssertionError, match=r"fused image: expected values in \[0, 1\], found .* first at index \(0"):
        contract.test_image_is_an_image()
    with pytest.raises(SkipTest, match="does not name a separate module of its Config"):
        contract.test_options_import_no_torch()
