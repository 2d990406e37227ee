"""The weights importer: converts a released weights file to fusekit's parameter names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fusekit.interfaces.component import Component


@dataclass(frozen=True)
class ImportedWeights:
    """Weights under fusekit's parameter names, and the model that they belong to.

    Attributes:
        model: The ``model`` section of a recipe that these weights fit.
        state: Tensors by ``part.parameter`` (``backbone.stages.0.alpha``).
        roles: Roles of the sources in the order in which the network was trained.
        classes: Plain class table (`ClassTable.to_plain`) if the weights include a task network.
        notes: What was dropped or assumed, one sentence each; shown to the user and kept in the file.
    """

    model: Mapping[str, Any]
    state: Mapping[str, Tensor]
    roles: tuple[str, ...]
    classes: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())


class WeightsImporter(Component, ABC):
    """Maps a released state dict to fusekit's parameter names; fusekit reads the file, with ``weights_only=True``."""

    @abstractmethod
    def convert(self, released: Any) -> ImportedWeights:
        """Converts the content of the released file.

        Args:
            released: The return value of ``torch.load(..., weights_only=True)``.

        Raises:
            DataError: The file does not hold the content that this importer reads; the message names missing keys.
        """
