"""What a plugin says about a component."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusekit.interfaces.kinds import KINDS

_NAME = re.compile(r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class ComponentSpec:
    """A component by name, and where its class is imported from. Made with `component`.

    Raises:
        ValueError: The kind is unknown, or a name or target has another form.
    """

    kind: str
    name: str
    target: str
    summary: str
    config: str | None = None
    paper: str | None = None
    in_tables: bool = False
    needs_ideal: bool = False
    per_source: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"component {self.name!r}: unknown kind {self.kind!r}; kinds are {', '.join(KINDS)}")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"component name {self.name!r} is not of the form namespace.component in lower case")
        for what, value in (("target", self.target), ("config", self.config)):
            if value is not None and not _TARGET.fullmatch(value):
                raise ValueError(f"component {self.name!r}: {what} {value!r} is not of the form package.module:Class")
        if not self.summary.strip():
            raise ValueError(f"component {self.name!r} has no summary")

    @property
    def namespace(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]


def component(
    kind: str,
    name: str,
    *,
    target: str,
    summary: str,
    config: str | None = None,
    paper: str | None = None,
    in_tables: bool = False,
    needs_ideal: bool = False,
    per_source: bool = False,
) -> ComponentSpec:
    """Declares a component.

    Args:
        kind: What it is, a key of `fusekit.interfaces.KINDS`.
        name: ``namespace.component`` in lower case; the namespace is the name of the plugin's entry point.
        target: Where its class is, ``package.module:Class``; imported when the component is used.
        summary: One sentence, shown in lists.
        config: Where its ``Config`` is, ``package.module:Class``, if that module imports no torch: recipes
            that use the component are then validated without importing torch. The class still carries the
            same object as its ``Config``.
        paper: Where the method was published, such as ``"arXiv 2502.01467"``.
        in_tables: Of a metric or backbone: it is a column, or a baseline's row, of every table whose recipe does not
            choose them.
        needs_ideal: Of a metric: it compares with the known ideal, and is such a column only where the data has one.
        per_source: Of a backbone with the option ``source``, a role: as a baseline without that option it is a row
            for each source.

    Raises:
        ValueError: The kind is unknown, or a name or target has another form.
    """
    return ComponentSpec(kind, name, target, summary, config, paper, in_tables, needs_ideal, per_source)
