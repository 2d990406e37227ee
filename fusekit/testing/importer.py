"""Contract of weights importers."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import SkipTest

import torch

from fusekit.errors import DataError
from fusekit.interfaces.context import ClassTable
from fusekit.model.assembly import build_system, model_section
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect


class ImporterContract(ComponentContract):
    """Checks of a weights importer; override `released` for the checks that need the content of a released file."""

    kind = "importer"

    def released(self) -> Any:
        """Content of a released file, as ``torch.load`` returns it."""
        raise SkipTest("released() of the contract returns no example of a released file")

    def use(self, made: Any) -> None:
        with contextlib.suppress(Exception):  # another check tests the refusal
            made.convert({"unknown": torch.zeros(2)})

    def test_unsupported_files_are_refused(self) -> None:
        """An unsupported file is refused with a DataError, which is shown to users as an error message."""
        importer = self.make()
        unsupported = {
            "a text": "weights",
            "nothing": None,
            "a list": [torch.zeros(2)],
            "no weights": {},
            "weights of something else": {"layer.weight": torch.zeros(3, 3), "layer.bias": torch.zeros(3)},
            "an empty state dict in a checkpoint": {"model": {}, "epoch": 3},
        }
        for what, content in unsupported.items():
            try:
                importer.convert(content)
            except DataError:
                continue
            except Exception as error:
                raise AssertionError(f"a file with {what}: expected a DataError, found {one_line(error)}") from error
            raise AssertionError(f"a file with {what}: expected a DataError, found that the file is converted")

    def test_weights_fit_the_model(self) -> None:
        """The state dict fits the model description that is returned with it, without missing or unexpected entries."""
        released = self.released()
        made = self.make().convert(released)
        expect(len(made.roles) > 0, "roles: expected the roles of the sources, found none")
        system = build_system(
            model_section(made.model),
            roles=made.roles,
            classes=ClassTable.from_plain(dict(made.classes)) if made.classes is not None else None,
            components=self.components(),
            pretrained=False,
        )
        try:
            system.load_state_dict(dict(made.state))
        except RuntimeError as error:
            raise AssertionError(f"weights: expected those of the model, found {one_line(error)}") from error

    def test_released_content_is_not_changed(self) -> None:
        """It does not change the content that it converts."""
        released = self.released()
        if not isinstance(released, dict):
            raise SkipTest("the example is not a state dict")
        before = set(released)
        self.make().convert(released)
        expect(set(released) == before, f"released: expected its {len(before)} entries, found {len(released)}")
