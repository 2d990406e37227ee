"""What holds for a component of any kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from pydantic import ValidationError

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.config import ComponentConfig, ComponentRef
from fusekit.interfaces.context import ClassTable
from fusekit.model.assembly import Builder
from fusekit.plugin.imports import one_line
from fusekit.plugin.loader import LOCAL_NAMESPACE, PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.registry import registry as installed
from fusekit.recipe.strict import validate_plain
from fusekit.testing.expect import expect
from fusekit.testing.gaps import respects_known_gaps
from fusekit.testing.offline import offline
from fusekit.testing.random_state import watched_random_state
from fusekit.testing.samples import class_table
from fusekit.testing.torchless import imports_torch
from fusekit.words import did_you_mean


class ComponentContract:
    """Checks of one component; subclasses for its kind add theirs.

    A check is a method ``test_…`` without arguments: it returns where the component keeps it, raises an
    `AssertionError` where it does not, and `unittest.SkipTest` where it cannot be asked.

    Attributes:
        kind: Kind of component.
        name: Name of the component, ``namespace.component``.
        params: Its parameters, as a recipe gives them; small ones make quick checks.
        roles: Roles of the sources that it is built for.
        classes: Class table that it is built for.
        known_gaps: Name of a check → why the component is known not to keep it. The check is then skipped with
            that reason, and fails once the component keeps it.
        registry: Where the component is looked up; what is installed when None.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}
    roles: ClassVar[tuple[str, ...]] = ("infrared", "visible")
    classes: ClassVar[ClassTable] = class_table(4)
    known_gaps: ClassVar[Mapping[str, str]] = {}
    registry: ClassVar[Registry | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        checks = cls.checks()
        for name in checks:
            check = getattr(cls, name)
            if not hasattr(check, "respects_known_gaps"):
                setattr(cls, name, respects_known_gaps(check))
        for name in cls.known_gaps:
            if name not in checks:
                raise TypeError(f"known_gaps of {cls.__name__}: no check {name!r}{did_you_mean(name, checks)}")

    @classmethod
    def checks(cls) -> list[str]:
        """Names of the checks, in the order in which they are written, general ones first."""
        found: dict[str, None] = {}
        for base in reversed(cls.__mro__):
            found.update(dict.fromkeys(name for name in vars(base) if name.startswith("test_")))
        return list(found)

    # What checks ask for ----------------------------------------------------------------------------------

    def components(self) -> Registry:
        """Where components are looked up."""
        return self.registry or installed()

    def report(self) -> PluginReport:
        """The plugin that provides the component."""
        spec = self.components().find(self.kind, self.name)
        return next(report for report in self.components().reports if spec in report.components)

    def component(self) -> type[Any]:
        """The component's class; skips where it cannot be had, which is another check's business."""
        try:
            return self.components().component_class(self.kind, self.name)
        except PluginError as error:
            raise SkipTest(f"its class cannot be used: {error.message}") from error

    def config_class(self) -> type[ComponentConfig]:
        """The class of its options; skips as `component` does."""
        try:
            return self.components().config_class(self.kind, self.name)
        except PluginError as error:
            raise SkipTest(f"its options cannot be had: {error.message}") from error

    def config(self) -> ComponentConfig:
        """Its validated parameters; skips where they are refused, which is another check's business."""
        try:
            return validate_plain(self.config_class(), dict(self.params))
        except ValidationError as error:
            raise SkipTest(f"its parameters are refused: {one_line(error)}") from error

    def build(self, roles: tuple[str, ...], seed: int) -> Any:
        """The component as a recipe would build it, with weights known by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            builder = Builder(roles, self.classes, self.components())
            return builder.build(self.kind, ComponentRef(use=self.name, params=dict(self.params)))

    def make(self, *, roles: tuple[str, ...] | None = None, seed: int = 0) -> Any:
        """As `build`; skips where building fails, which is another check's business."""
        self.component()
        self.config()
        try:
            with offline():
                return self.build(roles or self.roles, seed)
        except UsageError:
            if roles is not None:  # refused in words: the caller says what that means
                raise
            raise SkipTest("it cannot be built") from None
        except SkipTest:
            raise
        except Exception as error:
            raise SkipTest(f"it cannot be built: {one_line(error)}") from error

    def use(self, made: Any) -> None:
        """Uses the component once, as fusekit would."""

    # The checks -------------------------------------------------------------------------------------------

    def test_name_leads_to_a_class_of_its_kind(self) -> None:
        """The name leads to a class that implements the interface of its kind, so recipes can use it."""
        try:
            self.components().component_class(self.kind, self.name)
        except PluginError as error:
            raise AssertionError(error.message) from error

    def test_entry_module_imports_no_torch(self) -> None:
        """The entry module imports no torch, so that commands which build nothing stay quick."""
        report = self.report()
        if report.namespace == LOCAL_NAMESPACE:
            raise SkipTest("a local file is imported as a whole")
        expect(
            not imports_torch(report.value),
            f"module {report.value}: expected an import without torch, found that it imports torch; name the "
            "class as a target instead of importing it",
        )

    def test_options_import_no_torch(self) -> None:
        """The module that `config=` names imports no torch, so that recipes are validated quickly."""
        target = self.components().find(self.kind, self.name).config
        if target is None or self.report().namespace == LOCAL_NAMESPACE:
            raise SkipTest("the component does not say where its Config stands apart from its class")
        module = target.partition(":")[0]
        expect(
            not imports_torch(module),
            f"module {module}: expected an import without torch, found that it imports torch; move the Config to a "
            "module of its own",
        )

    def test_options_are_described(self) -> None:
        """Every option has a description, which is what users read in `plugins show`."""
        silent = [name for name, field in self.config_class().model_fields.items() if not field.description]
        expect(not silent, f"Config: expected a description of every option, found none of {', '.join(silent)}")

    def test_parameters_survive_json(self) -> None:
        """Its parameters are valid and come back equal from a file, so runs can be repeated from theirs."""
        config = self.config_class()
        try:
            made = validate_plain(config, dict(self.params))
        except ValidationError as error:
            raise AssertionError(f"params {dict(self.params)}: expected valid parameters, found {error}") from error
        text = made.model_dump_json(by_alias=True)
        try:
            back = validate_plain(config, json.loads(text))
        except ValidationError as error:
            raise AssertionError(f"parameters written as {text}: expected to be valid, found {error}") from error
        expect(back == made, f"parameters written and read: expected {made!r}, found {back!r}")

    def test_unknown_options_are_refused(self) -> None:
        """An option that does not exist is refused, so that a misspelt one is not passed over."""
        config = self.config()
        try:
            validate_plain(type(config), {**self.params, "not_an_option": 1})
        except ValidationError:
            return
        raise AssertionError("params with `not_an_option: 1`: expected a refusal, found that they are accepted")

    def test_it_can_be_built(self) -> None:
        """It can be built from its parameters."""
        self.component()
        self.config()
        with offline() as asked:
            try:
                self.build(self.roles, 0)
            except SkipTest:
                raise
            except Exception as error:
                if asked:
                    raise SkipTest("it asks for the network while it is built") from error
                raise AssertionError(
                    f"building with params {dict(self.params)}: expected a component, found {one_line(error)}"
                ) from error

    def test_it_is_built_offline(self) -> None:
        """Building it asks nothing of the network, so recipes run on machines that have none."""
        self.component()
        self.config()
        with offline() as asked:
            try:
                self.build(self.roles, 0)
            except SkipTest:
                raise
            except Exception as error:
                if not asked:
                    raise SkipTest("it cannot be built") from error
        expect(not asked, f"building: expected no use of the network, found {', '.join(dict.fromkeys(asked))}")

    def test_global_random_state_is_left_alone(self) -> None:
        """Building and using it leave the global random states, so that adding it changes nothing else."""
        with watched_random_state() as expect_untouched:
            made = self.make()
            expect_untouched("building")
            self.use(made)
            expect_untouched("using it")
