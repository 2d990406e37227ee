"""Base contract of components of all kinds."""

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
    """Checks of one component; a subclass for each kind adds the checks of that kind.

    A check is a method ``test_…`` without arguments: it returns if the component passes, raises an `AssertionError` if
    it does not, and `unittest.SkipTest` if the check does not apply.

    Attributes:
        kind: Kind of component.
        name: Name of the component, ``namespace.component``.
        params: Parameters of the component, as in a recipe; small values make the checks fast.
        roles: Roles of the sources that it is built for.
        classes: Class table that it is built for.
        known_gaps: Name of a check → reason why the component is known to fail it. The check is skipped with this
            reason, and fails once the component passes it.
        registry: Registry in which the component is looked up; the installed components if None.
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
        """Names of the checks in the order of definition, general checks first."""
        found: dict[str, None] = {}
        for base in reversed(cls.__mro__):
            found.update(dict.fromkeys(name for name in vars(base) if name.startswith("test_")))
        return list(found)

    # Helpers of the checks --------------------------------------------------------------------------------

    def components(self) -> Registry:
        """The registry in which components are looked up."""
        return self.registry or installed()

    def report(self) -> PluginReport:
        """The plugin that provides the component."""
        spec = self.components().find(self.kind, self.name)
        return next(report for report in self.components().reports if spec in report.components)

    def component(self) -> type[Any]:
        """The component's class; skips if it cannot be loaded, which another check reports."""
        try:
            return self.components().component_class(self.kind, self.name)
        except PluginError as error:
            raise SkipTest(f"its class cannot be used: {error.message}") from error

    def config_class(self) -> type[ComponentConfig]:
        """The class of its options; skips if it cannot be loaded, which another check reports."""
        try:
            return self.components().config_class(self.kind, self.name)
        except PluginError as error:
            raise SkipTest(f"its options cannot be loaded: {error.message}") from error

    def config(self) -> ComponentConfig:
        """Its validated parameters; skips if they are refused, which another check reports."""
        try:
            return validate_plain(self.config_class(), dict(self.params))
        except ValidationError as error:
            raise SkipTest(f"its parameters are refused: {one_line(error)}") from error

    def build(self, roles: tuple[str, ...], seed: int) -> Any:
        """The component built as by a recipe, with weights determined by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            builder = Builder(roles, self.classes, self.components())
            return builder.build(self.kind, ComponentRef(use=self.name, params=dict(self.params)))

    def make(self, *, roles: tuple[str, ...] | None = None, seed: int = 0) -> Any:
        """The component from `build`; skips if building fails, which another check reports."""
        self.component()
        self.config()
        try:
            with offline():
                return self.build(roles or self.roles, seed)
        except UsageError:
            if roles is not None:  # refused with an error message; the caller decides what that means
                raise
            raise SkipTest("it cannot be built") from None
        except SkipTest:
            raise
        except Exception as error:
            raise SkipTest(f"it cannot be built: {one_line(error)}") from error

    def use(self, made: Any) -> None:
        """Use the component once, as fusekit does."""

    # The checks -------------------------------------------------------------------------------------------

    def test_name_resolves_to_a_class_of_its_kind(self) -> None:
        """The name resolves to a class that implements the interface of its kind, so that recipes can use it."""
        try:
            self.components().component_class(self.kind, self.name)
        except PluginError as error:
            raise AssertionError(error.message) from error

    def test_entry_module_imports_no_torch(self) -> None:
        """The entry module does not import torch, so that commands which build no component stay fast."""
        report = self.report()
        if report.namespace == LOCAL_NAMESPACE:
            raise SkipTest("a local file is a single module and may import torch")
        expect(
            not imports_torch(report.value),
            f"module {report.value}: expected an import without torch, found that it imports torch; name the "
            "class as a target instead of importing it",
        )

    def test_options_import_no_torch(self) -> None:
        """The module named in `config=` does not import torch, so that recipes are validated fast."""
        target = self.components().find(self.kind, self.name).config
        if target is None or self.report().namespace == LOCAL_NAMESPACE:
            raise SkipTest("the component does not name a separate module of its Config in `config=`")
        module = target.partition(":")[0]
        expect(
            not imports_torch(module),
            f"module {module}: expected an import without torch, found that it imports torch; move the Config to a "
            "module of its own",
        )

    def test_options_are_described(self) -> None:
        """Every option has a description, which `plugins show` prints."""
        missing = [name for name, field in self.config_class().model_fields.items() if not field.description]
        expect(not missing, f"Config: expected a description of every option, found none of {', '.join(missing)}")

    def test_parameters_survive_json(self) -> None:
        """Its parameters are valid and equal after writing and reading, so that runs can be repeated."""
        config = self.config_class()
        try:
            made = validate_plain(config, dict(self.params))
        except ValidationError as error:
            raise AssertionError(f"params {dict(self.params)}: expected valid parameters, found {error}") from error
        text = made.model_dump_json(by_alias=True)
        try:
            restored = validate_plain(config, json.loads(text))
        except ValidationError as error:
            raise AssertionError(f"parameters written as {text}: expected to be valid, found {error}") from error
        expect(restored == made, f"parameters written and read: expected {made!r}, found {restored!r}")

    def test_unknown_options_are_refused(self) -> None:
        """An unknown option is refused, so that a misspelt option is not ignored."""
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
        with offline() as attempts:
            try:
                self.build(self.roles, 0)
            except SkipTest:
                raise
            except Exception as error:
                if attempts:
                    raise SkipTest("it accesses the network while it is built") from error
                raise AssertionError(
                    f"building with params {dict(self.params)}: expected a component, found {one_line(error)}"
                ) from error

    def test_it_is_built_offline(self) -> None:
        """Building it does not access the network, so that recipes run on machines without one."""
        self.component()
        self.config()
        with offline() as attempts:
            try:
                self.build(self.roles, 0)
            except SkipTest:
                raise
            except Exception as error:
                if not attempts:
                    raise SkipTest("it cannot be built") from error
        expect(not attempts, f"building: expected no network access, found {', '.join(dict.fromkeys(attempts))}")

    def test_global_random_state_is_not_changed(self) -> None:
        """Building and using it do not change the global random states, so that adding it affects nothing else."""
        with watched_random_state() as expect_untouched:
            made = self.make()
            expect_untouched("building")
            self.use(made)
            expect_untouched("using it")
