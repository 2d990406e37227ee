"""Parts of a system that come from a model file, and parts whose weights are frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

from fusekit.errors import DataError
from fusekit.interfaces.context import ClassTable
from fusekit.model.strict_loading import load_strictly
from fusekit.recipe.model_card import read_card


def check_origin(name: str, path: Path, roles: tuple[str, ...], classes: ClassTable | None) -> ClassTable | None:
    """Checks that a part of a model file can be used with the data of a recipe.

    Args:
        name: Key of the part in the ``model`` section.
        path: The model file.
        roles: Roles of the recipe's sources.
        classes: Class table of the recipe's data, or None.

    Returns:
        The class table of the data, or that of the file if the data has none and the part is the task network.

    Raises:
        DataError: Roles or classes differ.
    """
    card = read_card(path)
    if name != "task":
        if card.roles != roles:
            raise DataError(
                f"the {name} of {path} was trained for the sources {', '.join(card.roles)}, "
                f"the data has {', '.join(roles)}"
            )
        return classes
    stored = ClassTable.from_plain(dict(card.classes)) if card.classes is not None else None
    if classes is None:
        return stored
    if stored is not None and stored.names != classes.names:
        raise DataError(
            f"the task network of {path} was trained for the classes {', '.join(stored.names)}, "
            f"the data has {', '.join(classes.names)}"
        )
    return classes


def load_part(part: nn.Module, name: str, path: Path) -> None:
    """Loads the weights of one part of a model file.

    Raises:
        DataError: They do not fit the part.
    """
    with safe_open(path, framework="pt") as file:
        names: list[str] = list(file.keys())
        own = [key for key in names if key.startswith(f"{name}.")]
        state = {key.removeprefix(f"{name}."): file.get_tensor(key) for key in own}
    load_strictly(part, state, f"the {name} of {path}")


def freeze(part: nn.Module) -> None:
    """Freezes a part: its parameters need no gradient, and it always runs in evaluation mode.

    So its normalisation statistics do not change either, whatever mode a strategy sets.
    """
    part.requires_grad_(False)
    part.register_forward_pre_hook(_evaluation_mode)


def _evaluation_mode(part: nn.Module, arguments: Any) -> None:
    if part.training:
        part.eval()
