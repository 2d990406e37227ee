"""The recipe class: a recipe that is read, validated and resolved. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fusekit._version import __version__
from fusekit.errors import DataError
from fusekit.interfaces.config import ComponentConfig, ComponentRef
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.plugin.loader import DISTRIBUTION
from fusekit.plugin.registry import Registry
from fusekit.plugin.registry import registry as installed
from fusekit.recipe.components import Component, configure, resolved_plain, validate_components
from fusekit.recipe.compose import as_written, read_with_parents, with_fallback, with_parents
from fusekit.recipe.dataroot import DataRoot, expand_root, missing_data, root_path
from fusekit.recipe.diagnose import problems_of
from fusekit.recipe.library import find_recipe
from fusekit.recipe.part_files import expand_parts
from fusekit.recipe.problems import Problem, RecipeProblems
from fusekit.recipe.schema import RecipeModel
from fusekit.recipe.strict import validate_plain
from fusekit.recipe.tree import Node, node_from_plain
from fusekit.recipe.wiring import check_requirements, check_wiring
from fusekit.recipe.yaml_reader import describe, dump_yaml


@dataclass(frozen=True)
class Recipe:
    """A validated recipe. Made with `load` or `from_dict`; equal to another recipe with the same resolved data.

    Attributes:
        plain: The resolved recipe as plain data: parents and overrides merged, every default filled in.
        model: Its sections.
        components: Every component that it names, with validated parameters.
        registry: The registry that provides the components.
        text: The text of the recipe as it was given.
        source: Its file, or None.
        synthetic_fallback: Description of the missing data, if ``when_missing`` was applied because of it.
        missing: Description of the missing data; only set with ``check_data=False``.
    """

    plain: dict[str, Any]
    model: RecipeModel = field(compare=False, repr=False)
    components: tuple[Component, ...] = field(compare=False, repr=False)
    registry: Registry = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False)
    source: Path | None = field(compare=False, default=None)
    synthetic_fallback: str | None = field(compare=False, default=None)
    missing: str | None = field(compare=False, default=None)

    @classmethod
    def load(
        cls,
        path_or_name: str | Path,
        overrides: Sequence[str] = (),
        registry: Registry | None = None,
        *,
        check_data: bool = True,
    ) -> Recipe:
        """Reads and validates a recipe.

        Args:
            path_or_name: A file, or the name of a shipped recipe.
            overrides: Changes in the syntax of ``-o``, such as ``"train.epochs=5"``.
            registry: The available components (default: the installed ones).
            check_data: Refuse a recipe whose data is missing. False reports it in `missing`, and validates
                the recipe both as written and with its ``when_missing`` applied.

        Raises:
            RecipeProblems: The recipe is not valid; lists everything that the failing phase found.
            PluginError: A plugin that it needs is missing or broken.
            DataError: Its data is missing, and it has no ``when_missing`` or the data root was set explicitly.
        """
        path = find_recipe(path_or_name)
        text, tree = read_with_parents(path)
        return cls._resolve(tree, text, path, overrides, registry or installed(), check_data)

    @classmethod
    def from_dict(
        cls,
        plain: Mapping[str, Any],
        overrides: Sequence[str] = (),
        registry: Registry | None = None,
        *,
        check_data: bool = True,
    ) -> Recipe:
        """Validates a recipe that is given as plain data, by the same rules as a file.

        Args:
            plain: Mappings, sequences, text, numbers, booleans, None. Paths in ``extends`` are relative to
                the working directory.
            overrides: As for `load`.
            registry: As for `load`.
            check_data: As for `load`.

        Raises:
            RecipeProblems: As for `load`.
            PluginError: As for `load`.
            DataError: As for `load`.
        """
        node = node_from_plain(plain)
        if not isinstance(node.value, dict):
            raise RecipeProblems([Problem("", f"a recipe must be a mapping, not {describe(node.value)}")])
        tree = with_parents(node, None)
        return cls._resolve(tree, dump_yaml(node.plain()), None, overrides, registry or installed(), check_data)

    @classmethod
    def _resolve(
        cls,
        tree: Node,
        text: str,
        source: Path | None,
        overrides: Sequence[str],
        registry: Registry,
        check_data: bool,
    ) -> Recipe:
        written = _Variant.validate(as_written(tree, overrides), registry)
        sentence = written.missing()
        # Data that the user requested explicitly is never replaced by other data.
        replaceable = sentence is not None and not written.given.explicit
        changed = with_fallback(tree, overrides) if replaceable or not check_data else None
        fallback = _Variant.validate_fallback(changed, registry) if changed is not None else None
        if sentence is None:
            return written.recipe(registry, text, source)
        still = fallback.missing() if fallback is not None and replaceable else None
        if fallback is not None and replaceable and (still is None or not check_data):
            return fallback.recipe(registry, text, source, synthetic_fallback=sentence, missing=still)
        if check_data:
            raise _data_error(written, sentence, still)
        return written.recipe(registry, text, source, missing=sentence)

    @property
    def data_config(self) -> DatasetConfig:
        """Validated parameters of the dataset."""
        config = next(c.config for c in self.components if c.reference.path == ("data",))
        assert isinstance(config, DatasetConfig)
        return config

    @property
    def data_root(self) -> Path | None:
        """Folder of the data; a relative path is relative to the working directory."""
        return root_path(self.model.data.root)

    def config(self, kind: str, ref: ComponentRef) -> ComponentConfig:
        """Validated parameters of a component reference, of this recipe or any other.

        Raises:
            RecipeProblems: A parameter is wrong.
            PluginError: The component is missing or broken.
        """
        return configure(kind, ref, self.registry)

    def versions(self) -> dict[str, str]:
        """The distribution and version that provides each used component, by namespace."""
        used = {c.reference.ref.use.partition(".")[0] for c in self.components}
        reports = {r.namespace: r for r in self.registry.reports if r.state == "loaded"}
        return {n: f"{r.distribution} {r.version}".strip() for n, r in sorted(reports.items()) if n in used}

    def dumps_resolved(self) -> str:
        """The resolved recipe as YAML, with the versions of its components; loading it gives an equal recipe."""
        lines = [f"Resolved by {DISTRIBUTION} {__version__}: every default is filled in."]
        if self.source is not None:
            lines.append(f"From {self.source}.")
        if self.synthetic_fallback is not None:
            lines.append(f"when_missing was applied, because data was missing: {self.synthetic_fallback}")
        lines += [f"{namespace}: {version}" for namespace, version in self.versions().items()]
        header = "\n".join(f"# {line}" for text in lines for line in text.splitlines())
        return f"{header}\n{dump_yaml(self.plain)}"


@dataclass(frozen=True)
class _Variant:
    """A recipe after all phases of validation, as written or with ``when_missing`` applied."""

    frame: RecipeModel
    components: tuple[Component, ...]
    given: DataRoot
    tree: Node

    @classmethod
    def validate(cls, tree: Node, registry: Registry) -> _Variant:
        tree, given = expand_root(tree)
        tree = expand_parts(tree)
        try:
            frame = validate_plain(RecipeModel, tree.plain())
        except ValidationError as error:
            raise RecipeProblems(problems_of(error, RecipeModel, tree)) from None
        frame = _with_tables(frame, registry)
        check_requirements(frame, tree)
        components = validate_components(frame, registry, tree)
        check_wiring(frame, components, tree, registry)
        return cls(frame, tuple(components), given, tree)

    @classmethod
    def validate_fallback(cls, tree: Node, registry: Registry) -> _Variant:
        """Validates the recipe with ``when_missing`` applied; the hint of an error says so.

        The recipe as written is valid, so without the hint a reader would search for the problem in the wrong place.
        """
        try:
            return cls.validate(tree, registry)
        except RecipeProblems as error:
            hint = (
                "the recipe as written is valid, but not with its when_missing block applied, as it is for missing "
                "data: change that block, or remove it with when_missing: null"
            )
            raise RecipeProblems(error.problems, hint=hint) from None

    def missing(self) -> str | None:
        dataset = next(c for c in self.components if c.reference.path == ("data",))
        return missing_data(dataset, self.frame.data.root, self.given)

    def recipe(
        self,
        registry: Registry,
        text: str,
        source: Path | None,
        *,
        synthetic_fallback: str | None = None,
        missing: str | None = None,
    ) -> Recipe:
        plain = resolved_plain(self.frame, self.components)
        return Recipe(plain, self.frame, self.components, registry, text, source, synthetic_fallback, missing)


def _with_tables(frame: RecipeModel, registry: Registry) -> RecipeModel:
    """The frame with the metrics and baselines that plugins declare as defaults, if the recipe chooses none."""
    chosen: dict[str, Any] = {}
    if frame.evaluate.metrics is None:
        chosen["metrics"] = [spec.name for spec in registry.for_tables("metric")]
    if frame.evaluate.baselines is None:
        chosen["baselines"] = [ComponentRef(use=spec.name) for spec in registry.for_tables("backbone")]
    return frame.model_copy(update={"evaluate": frame.evaluate.model_copy(update=chosen)})


def _data_error(written: _Variant, sentence: str, still: str | None) -> DataError:
    place = written.tree.where(("data", "root"))
    where = f"{place} data.root: ".lstrip()
    if still is not None:
        return DataError(f"{where}{sentence}", hint=f"the data of when_missing is missing too: {still}")
    hint = None
    unset = written.given.unset
    if unset is not None:
        hint = f"set {unset}, or write ${{{unset}:-default}}, or add -o data.root=FOLDER"
    elif not written.given.explicit:
        hint = "give the folder of the data with -o data.root=FOLDER"
    return DataError(f"{where}{sentence}", hint=hint)
