"""What a weights importer keeps."""

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
    """Checks of a weights importer; give a released file's content in `released` for those that need one."""

    kind = "importer"

    def released(self) -> Any:
        """What a released file holds, as ``torch.load`` gives it."""
        raise SkipTest("released() of the contract gives no example of a released file")

    def use(self, made: Any) -> None:
        with contextlib.suppress(Exception):  # how it refuses is another check's business
            made.convert({"stranger": torch.zeros(2)})

    def test_files_of_others_are_refused(self) -> None:
        """A file that it does not read is refused with a DataError, which users are shown as a sentence."""
        importer = self.make()
        strangers = {
            "a text": "weights",
            "nothing": None,
            "a list": [torch.zeros(2)],
            "no weights": {},
            "weights of something else": {"layer.weight": torch.zeros(3, 3), "layer.bias": torch.zeros(3)},
            "an empty state dict in a checkpoint": {"model": {}, "epoch": 3},
        }
        for what, content in strangers.items():
            try:
                importer.convert(content)
            except DataError:
                continue
            except Exception as error:
                raise AssertionError(f"a file with {what}: expected a DataError, found {one_line(error)}") from error
            raise AssertionError(f"a file with {what}: expected a DataError, found that it is converted")

    def test_weights_fit_the_model_that_it_names(self) -> None:
        """The weights load into the model that comes with them, all of them and no others."""
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

    def test_released_content_is_left_alone(self) -> None:
        """It does not change what it is given."""
        released = self.released()
        if not isinstance(released, dict):
            raise SkipTest("the example is no state dict")
        before = set(released)
        self.make().convert(released)
        expect(set(released) == before, f"released: expected its {len(before)} entries, found {len(released)}")
