"""Whether the names of sources suggest that they were given in the wrong order. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fusekit.errors import UsageError

_WORDS: Mapping[str, frozenset[str]] = {
    "infrared": frozenset({"ir", "infrared", "inf", "thermal", "tir", "lwir", "mwir", "nir", "flir"}),
    "visible": frozenset({"vi", "vis", "visible", "rgb", "vl", "visual", "color", "colour", "tv"}),
    "mri": frozenset({"mri", "mr"}),
    "pet": frozenset({"pet"}),
    "ct": frozenset({"ct"}),
    "spect": frozenset({"spect"}),
    "near": frozenset({"near", "foreground"}),
    "far": frozenset({"far", "background"}),
    "under": frozenset({"under", "underexposed", "ue", "low", "dark"}),
    "over": frozenset({"over", "overexposed", "oe", "high", "bright"}),
}
"""Words in names of files and folders that suggest a role; any other role is suggested by its name."""


def refuse_swapped(given: Mapping[str, Path], positional: Sequence[Path]) -> None:
    """Refuses sources whose names suggest another order than that of the model's roles.

    The name of the file or folder decides; if it does not contain a telling word, the name of the parent folder does.
    Sources that are named by role are not checked.

    Args:
        given: All sources by role.
        positional: The sources that were given without a role.

    Raises:
        UsageError: The name of a source suggests another role, and no name suggests its own role.
    """
    checked = {role: path for role, path in given.items() if path in positional}
    suggested = {role: _role_of(path, list(given)) for role, path in checked.items()}
    swapped = {role: other for role, other in suggested.items() if other is not None and other != role}
    if not swapped or any(role == other for role, other in suggested.items()):
        return
    role, other = next(iter(swapped.items()))
    right = " ".join(f"--source {role}={path}" for role, path in checked.items())
    hint = f"if the order is right, name the roles: {right}"
    if len(given) == 2 and len(checked) == 2:
        first, second = checked.values()
        hint = f"swap them ({second} {first}); {hint}"
    raise UsageError(
        f"{checked[role]} looks like the {other} source, but it is given as the {role} one: the model takes "
        f"{', '.join(given)} in this order",
        hint=hint,
    )


def _role_of(path: Path, roles: Sequence[str]) -> str | None:
    """The only role that a name suggests; None if it suggests none or several."""
    absolute = Path(path.absolute())
    for name in (absolute.stem, absolute.parent.name):
        words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
        found = [role for role in roles if words & _WORDS.get(role, frozenset({role}))]
        if found:
            return found[0] if len(found) == 1 else None
    return None
