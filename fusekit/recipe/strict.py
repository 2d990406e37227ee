"""The one way in which plain data becomes a pydantic model. Imports no torch."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


def validate_plain(model: type[_Model], plain: Any) -> _Model:
    """Validates plain data strictly, as JSON.

    Strict, so that the text ``"8"`` is never taken for a number. As JSON, because there a list is the only
    way to write a tuple and an integer is a number, which strict validation of Python objects would refuse.

    Args:
        model: The frame of recipes, or a component's ``Config``.
        plain: Mappings, lists, text, numbers, booleans, None.

    Raises:
        pydantic.ValidationError: With every error at once.
    """
    return model.model_validate_json(json.dumps(plain), strict=True)
