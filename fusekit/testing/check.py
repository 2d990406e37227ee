"""Runs the contracts without pytest. Imports torch only when something is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Literal
from unittest import SkipTest

from fusekit.errors import PluginError
from fusekit.plugin.imports import load_target, one_line
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.registry import registry as installed
from fusekit.plugin.specs import ComponentSpec
from fusekit.words import did_you_mean

CONTRACTS: dict[str, str] = {
    "backbone": "fusekit.testing.backbone:BackboneContract",
    "loss-proposer": "fusekit.testing.proposer:LossProposerContract",
    "reconstruction": "fusekit.testing.reconstruction:ReconstructionContract",
    "task": "fusekit.testing.task:TaskContract",
    "stage": "fusekit.testing.stage:StageContract",
    "dataset": "fusekit.testing.dataset:DatasetContract",
    "metric": "fusekit.testing.metric:MetricContract",
    "strategy": "fusekit.testing.strategy:StrategyContract",
    "objective": "fusekit.testing.objective:ObjectiveContract",
    "guidance": "fusekit.testing.guidance:GuidanceContract",
    "pathway": "fusekit.testing.pathway:PathwayContract",
    "importer": "fusekit.testing.importer:ImporterContract",
    "observer": "fusekit.testing.observer:ObserverContract",
}
"""Kind of component → ``module:class`` of its contract."""


@dataclass(frozen=True)
class Outcome:
    """How one check of one component ended.

    Attributes:
        kind: Kind of the component.
        component: Name of the component.
        check: Name of the check, a method of the contract.
        state: How it ended.
        reason: What was expected and what was found, or why it was skipped; empty where it passed.
        sentence: What the check means for users.
    """

    kind: str
    component: str
    check: str
    state: Literal["passed", "failed", "skipped"]
    reason: str = ""
    sentence: str = ""


def check(
    names: Iterable[str],
    *,
    registry: Registry | None = None,
    progress: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Checks every component of the given plugins.

    A component's class may say in ``check_with`` how it wants to be checked: a mapping of attributes of its
    contract, such as ``{"params": {"width": 8}, "untrained": ("gate.",)}``.

    Args:
        names: Namespaces, distributions or components; all third-party plugins where there are none.
        registry: Components to choose from; what is installed when None.
        progress: Called after every check.

    Returns:
        One outcome per component and check.

    Raises:
        PluginError: A name is none of these.
    """
    known = registry or installed()
    outcomes = []
    for spec in components(names, known):
        for outcome in check_component(spec, known):
            if progress is not None:
                progress(outcome)
            outcomes.append(outcome)
    return outcomes


def components(names: Iterable[str], registry: Registry) -> list[ComponentSpec]:
    """The components that names stand for; those of all third-party plugins where there are no names.

    Raises:
        PluginError: A name is neither a plugin, a distribution nor a component, or its plugin did not load.
    """
    names = list(names)
    if not names:
        return [spec for report in registry.reports if not report.builtin for spec in report.components]
    found: dict[ComponentSpec, None] = {}
    for name in names:
        found.update(dict.fromkeys(_named(name, registry)))
    return list(found)


def _named(name: str, registry: Registry) -> Iterator[ComponentSpec]:
    namespace = name.partition(".")[0]
    reports = [r for r in registry.reports if namespace == r.namespace or name == r.distribution]
    if not reports:
        raise registry.no_plugin(name)
    specs = [s for r in reports for s in r.components if name in (s.name, s.namespace, r.distribution)]
    if not specs:
        raise _nothing_there(name, reports, registry)
    yield from specs


def _nothing_there(name: str, reports: list[PluginReport], registry: Registry) -> PluginError:
    report = next((r for r in reports if r.state != "loaded"), None)
    if report is not None:
        return PluginError(
            f"plugin {report.namespace!r} of {report.distribution} is {report.state}: {report.reason}",
            hint=f"fusekit plugins show {report.namespace} tells more",
        )
    if "." not in name:
        return PluginError(f"plugin {name!r} has no components")
    namespace = name.partition(".")[0]
    return PluginError(
        f"plugin {namespace!r} has no component {name!r}{did_you_mean(name, [s.name for s in registry.specs()])}",
        hint=f"fusekit plugins show {namespace} shows those that it has",
    )


def check_component(
    spec: ComponentSpec, registry: Registry, attributes: Mapping[str, Any] | None = None
) -> Iterator[Outcome]:
    """Checks one component.

    Args:
        spec: The component.
        registry: Where it, and what it is built from, is looked up.
        attributes: Attributes of its contract; the component's own ``check_with`` when None.
    """
    contract = load_target(CONTRACTS[spec.kind])
    try:
        given = _check_with(spec, registry) if attributes is None else attributes
        made: Any = type(f"Check {spec.name}", (contract,), {**given, "name": spec.name, "registry": registry})
    except (TypeError, ValueError) as error:
        yield Outcome(spec.kind, spec.name, "check_with", "failed", str(error), "`check_with` fits the contract.")
        return
    for name in made.checks():
        yield _run(spec, made, name)


def _check_with(spec: ComponentSpec, registry: Registry) -> dict[str, Any]:
    try:
        return dict(getattr(registry.component_class(spec.kind, spec.name), "check_with", {}))
    except PluginError:  # which is what the first check is about
        return {}


def _run(spec: ComponentSpec, contract: type[Any], name: str) -> Outcome:
    sentence = (getdoc(getattr(contract, name)) or "").split("\n\n")[0]
    state: Literal["passed", "failed", "skipped"] = "passed"
    reason = ""
    try:
        getattr(contract(), name)()
    except KeyboardInterrupt:
        raise
    except SkipTest as skip:
        state, reason = "skipped", str(skip)
    except AssertionError as failure:
        state, reason = "failed", str(failure) or one_line(failure)
    except BaseException as error:  # SystemExit of a component is no reason to stop either
        state, reason = "failed", f"expected no exception, found {one_line(error)}"
    return Outcome(spec.kind, spec.name, name, state, reason, sentence)
