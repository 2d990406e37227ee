"""Strict validation of plain data by a pydantic model; all recipe data goes through it. Imports no torch."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


def validate_plain(model: type[_Model], plain: Any) -> _Model:
    """Validates plain data strictly, as JSON.

    Strict, so that the text ``"8"`` is never converted to a number. As JSON, because JSON mode accepts lists for
    tuples and integers for floats, which strict validation of Python objects would refuse.

    Args:
        model: The frame of recipes, or a component's ``Config``.
        plain: Mappings, lists, text, numbers, booleans, None.

    Raises:
        pydantic.ValidationError: With every error at once.
    """
    return model.model_validate_json(json.dumps(plain), strict=True)
