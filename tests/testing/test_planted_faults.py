"""The kit catches planted faults: for each check there is a component with that fault, which fails that check alone."""

from __future__ import annotations

import re

import pytest

from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.imports import load_target
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.specs import ComponentSpec, component
from fusekit.testing.check import CONTRACTS, check_component
from tests.testing import faulty
from tests.testing.faulty import FAULTS, Fault, released
from tests.testing.good import GOOD, Classifier, Detector, IdealDistance, ToTheProposed

pytestmark = pytest.mark.slow


def spec_of(kind: str, name: str, target: type, config: str | None = None) -> ComponentSpec:
    return component(kind, name, target=f"{target.__module__}:{target.__name__}", config=config, summary="a toy")


def registry_of(spec: ComponentSpec, entry: str = "tests.testing.entry") -> Registry:
    """A plugin with the component, and the good ones that it may need beside it."""
    good = tuple(spec_of(kind, f"good.{kind}", target, _config_of(target)) for kind, target in GOOD.items())
    return Registry(
        [
            PluginReport("faulty", "fusekit-faulty", "1.0", entry, components=(spec,)),
            PluginReport("good", "fusekit-good", "1.0", "tests.testing.entry", components=good),
        ]
    )


def _config_of(target: type) -> str:
    return f"tests.testing.good_configs:{target.Config.__name__}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.target.__name__}")
def test_a_fault_fails_its_check_alone(fault: Fault) -> None:
    spec = spec_of(fault.kind, "faulty.part", fault.target, fault.config)
    outcomes = list(check_component(spec, registry_of(spec, fault.entry), fault.attributes))
    failed = {outcome.check: outcome.reason for outcome in outcomes if outcome.state == "failed"}
    assert set(failed) == {fault.check}, failed
    wording = "cannot be used: .* is not a " if fault.target is faulty.NoBackbone else r"(^|: )expected\b"
    assert re.search(wording, failed[fault.check]), failed


@pytest.mark.parametrize(
    ("kind", "target"),
    [*GOOD.items(), ("metric", IdealDistance), ("task", Classifier), ("task", Detector), ("loss-term", ToTheProposed)],
)
def test_a_good_component_passes(kind: str, target: type) -> None:
    spec = spec_of(kind, "faulty.part", target, _config_of(target))
    attributes = {"released": released} if kind == "importer" else {}
    outcomes = list(check_component(spec, registry_of(spec), attributes))
    assert {o.check: o.reason for o in outcomes if o.state == "failed"} == {}
    assert all(outcome.sentence.endswith(".") for outcome in outcomes)


def test_every_check_has_a_fault() -> None:
    planted = {(_home(CONTRACTS[fault.kind], fault.check), fault.check) for fault in FAULTS}
    checks = {
        (_home(contract, name), name) for contract in CONTRACTS.values() for name in load_target(contract).checks()
    }
    assert checks == planted
    assert set(CONTRACTS) == set(GOOD) == set(KINDS)


def _home(contract: str, check: str) -> str:
    """The class in which a check is written."""
    written: str = getattr(load_target(contract), check).__qualname__
    return written
