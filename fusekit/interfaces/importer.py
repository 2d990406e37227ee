"""The weights importer: from the file that authors released to fusekit's own names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fusekit.interfaces.component import Component


@dataclass(frozen=True)
class ImportedWeights:
    """Weights in fusekit's names, and the model they belong to.

    Attributes:
        model: The ``model`` section of a recipe that these weights fit.
        state: Tensors by ``part.parameter`` (``backbone.stages.0.alpha``).
        roles: Roles of the sources in the order that the network was trained with.
        classes: Plain class table (`ClassTable.to_plain`) where a task network came along.
        notes: What was dropped or assumed, a sentence each; shown to the user and kept in the file.
    """

    model: Mapping[str, Any]
    state: Mapping[str, Tensor]
    roles: tuple[str, ...]
    classes: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())


class WeightsImporter(Component, ABC):
    """Maps a released state dict to fusekit's names. The file is read for it, with ``weights_only=True``."""

    @abstractmethod
    def convert(self, released: Any) -> ImportedWeights:
        """Converts what the released file holds.

        Args:
            released: What ``torch.load(..., weights_only=True)`` returned.

        Raises:
            DataError: The file does not hold what this importer reads; says which keys it missed.
        """
