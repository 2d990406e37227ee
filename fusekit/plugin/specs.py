"""Declaration of components and of trained weights by their plugin."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusekit.interfaces.kinds import KINDS

_NAME = re.compile(r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_FILE = re.compile(r"(?!.*\.\.)[\w-][\w.-]*(/[\w-][\w.-]*)*\.safetensors")
_TASK = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class ComponentSpec:
    """A component's name, kind and import path. Made with `component`.

    Raises:
        ValueError: The kind is unknown, or a name or target does not have the required form.
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
        kind: Kind of the component, a key of `fusekit.interfaces.KINDS`.
        name: ``namespace.component`` in lower case; the namespace is the name of the plugin's entry point.
        target: Import path of its class, ``package.module:Class``; imported when the component is used.
        summary: One sentence, shown in lists.
        config: Import path of its ``Config``, ``package.module:Class``, if that module does not import torch: recipes
            that use the component are then validated without importing torch. The class must still have the
            same object as its ``Config``.
        paper: Publication of the method, such as ``"arXiv 2502.01467"``.
        in_tables: For a metric or backbone: whether it is a column, or a baseline row, of every table by default,
            that is if the recipe does not choose metrics or baselines.
        needs_ideal: For a metric: whether it compares with the ground truth; it is then a default column only if the
            data has a ground truth.
        per_source: For a backbone with an option ``source`` that takes a role: whether a baseline without that option
            is expanded to one row per source.

    Raises:
        ValueError: The kind is unknown, or a name or target does not have the required form.
    """
    return ComponentSpec(kind, name, target, summary, config, paper, in_tables, needs_ideal, per_source)


@dataclass(frozen=True)
class WeightsSpec:
    """Trained weights that a plugin ships. Made with `weights`.

    Raises:
        ValueError: The name, the file or the task does not have the required form.
    """

    name: str
    file: str
    summary: str
    task: str
    default: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"weights name {self.name!r} is not of the form namespace.name in lower case")
        if not _FILE.fullmatch(self.file):
            raise ValueError(f"weights {self.name!r}: file {self.file!r} is not a .safetensors file inside the package")
        if not _TASK.fullmatch(self.task):
            raise ValueError(f"weights {self.name!r}: task {self.task!r} is not a word such as infrared-visible")
        if not self.summary.strip():
            raise ValueError(f"weights {self.name!r} have no summary")

    @property
    def namespace(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The part of the name after the dot, by which users call the weights."""
        return self.name.partition(".")[2]


def weights(name: str, *, file: str, summary: str, task: str, default: bool = False) -> WeightsSpec:
    """Declares trained weights that the plugin's package contains.

    Args:
        name: ``namespace.name`` in lower case; the namespace is the name of the plugin's entry point. Users write the
            part after the dot, as in ``--model refusion-ivif``.
        file: Model file, a path below the folder of the entry module, such as ``files/refusion-ivif.safetensors``.
        summary: One sentence, shown in lists.
        task: What the weights are for: ``infrared-visible``, ``medical``, ``multi-focus``, ``multi-exposure``,
            ``segmentation``, or another word.
        default: Whether `fusekit fuse` uses these weights for the task if no model is given.

    Raises:
        ValueError: The name, the file or the task does not have the required form.
    """
    return WeightsSpec(name, file, summary, task, default)
