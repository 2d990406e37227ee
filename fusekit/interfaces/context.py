"""Information about the recipe and the data that every component's constructor receives. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fusekit.interfaces.config import ComponentRef


@dataclass(frozen=True)
class ClassTable:
    """The classes of a segmentation task.

    Attributes:
        names: One name per class; the index is the value in a label map.
        palette: One RGB triple (0 to 255) per class, for pictures.
        ignore_index: Value of pixels that carry no label; it is not a class.
        unlabelled: Index of the class that means "nothing of interest"; None if there is no such class.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_index: int = 255
    unlabelled: int | None = None

    def __post_init__(self) -> None:
        if len(self.names) != len(self.palette):
            raise ValueError(f"{len(self.names)} class names but {len(self.palette)} colours")

    def __len__(self) -> int:
        return len(self.names)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the metadata of a file; `from_plain` converts it back."""
        return {
            "names": list(self.names),
            "palette": [list(colour) for colour in self.palette],
            "ignore_index": self.ignore_index,
            "unlabelled": self.unlabelled,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ClassTable:
        """Inverse of `to_plain`."""
        return cls(
            names=tuple(plain["names"]),
            palette=tuple((int(r), int(g), int(b)) for r, g, b in plain["palette"]),
            ignore_index=int(plain["ignore_index"]),
            unlabelled=plain["unlabelled"],
        )


def _no_builder(kind: str, ref: ComponentRef) -> Any:
    raise RuntimeError(f"this BuildContext cannot build nested components (requested: {kind} {ref.use!r})")


@dataclass(frozen=True)
class BuildContext:
    """Passed to every component's constructor together with its ``Config``.

    Attributes:
        roles: Roles of the sources in order, such as ``("infrared", "visible")``.
        classes: Class table of the dataset; None if the data has no labels.
        pretrained: Whether to load the pretrained weights that the options name. False if the weights of a model
            file will replace them: the component then starts from any values, and does not search for pretrained
            weights.
        builder: Builds a nested component; use `build`.
    """

    roles: tuple[str, ...] = ("a", "b")
    classes: ClassTable | None = None
    pretrained: bool = True
    builder: Callable[[str, ComponentRef], Any] = field(default=_no_builder, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Components keep their context. Copied or pickled, it leaves the builder behind, which holds the registry.
        return BuildContext, (self.roles, self.classes, self.pretrained)

    def build(self, kind: str, ref: ComponentRef) -> Any:
        """Builds the component that a nested field of a ``Config`` names.

        Args:
            kind: Kind of component, a key of `KINDS`.
            ref: The reference from the config.

        Raises:
            PluginError: The component does not exist, or its plugin is broken.
        """
        return self.builder(kind, ref)
