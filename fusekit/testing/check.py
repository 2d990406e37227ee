"""Running the contracts without pytest. Imports torch only when a component is checked."""

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
    "loss-term": "fusekit.testing.loss_term:LossTermContract",
    "pathway": "fusekit.testing.pathway:PathwayContract",
    "transform": "fusekit.testing.transform:TransformContract",
    "importer": "fusekit.testing.importer:ImporterContract",
    "observer": "fusekit.testing.observer:ObserverContract",
}
"""Kind of component → ``module:class`` of its contract."""


@dataclass(frozen=True)
class Outcome:
    """Result of one check of one component.

    Attributes:
        kind: Kind of the component.
        component: Name of the component.
        check: Name of the check, a method of the contract.
        state: Result of the check.
        reason: What was expected and what was found, or why the check was skipped; empty if it passed.
        sentence: Meaning of the check for users.
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
    """Check every component of the given plugins.

    A component's class may set ``check_with`` to configure its checks: a mapping of attributes of its contract, such
    as ``{"params": {"width": 8}, "untrained": ("gate.",)}``.

    Args:
        names: Namespaces, distributions or components; all third-party plugins if empty.
        registry: Registry of components; the installed components if None.
        progress: Callback after every check.

    Returns:
        One outcome per component and check.

    Raises:
        PluginError: A name is not a namespace, distribution or component.
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
    """The components with the given names; those of all third-party plugins if there are no names.

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
        raise _not_found(name, reports, registry)
    yield from specs


def _not_found(name: str, reports: list[PluginReport], registry: Registry) -> PluginError:
    report = next((r for r in reports if r.state != "loaded"), None)
    if report is not None:
        return PluginError(
            f"plugin {report.namespace!r} of {report.distribution} is {report.state}: {report.reason}",
            hint=f"fusekit plugins show {report.namespace} shows the details",
        )
    if "." not in name:
        hint = "fusekit weights verify checks its weights" if any(report.weights for report in reports) else None
        return PluginError(f"plugin {name!r} has no components", hint=hint)
    namespace = name.partition(".")[0]
    return PluginError(
        f"plugin {namespace!r} has no component {name!r}{did_you_mean(name, [s.name for s in registry.specs()])}",
        hint=f"fusekit plugins show {namespace} lists its components",
    )


def check_component(
    spec: ComponentSpec, registry: Registry, attributes: Mapping[str, Any] | None = None
) -> Iterator[Outcome]:
    """Check one component.

    Args:
        spec: The component.
        registry: Registry of the component and the components that it is built from.
        attributes: Attributes of its contract; the component's own ``check_with`` if None.
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
    except PluginError:  # the first check reports this
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
    except BaseException as error:  # a SystemExit of a component must not stop the checks either
        state, reason = "failed", f"expected no exception, found {one_line(error)}"
    return Outcome(spec.kind, spec.name, name, state, reason, sentence)
