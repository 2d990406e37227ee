"""The plugins that fusekit knows of, installed or not: what to install where a recipe names a missing one.

The list is a file of this package, kept by hand and never fetched. A namespace that is not in it gets no advice:
a name made up from a recipe, such as ``pip install fusekit-NAME``, could be anybody's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FILE = "catalogue.json"


@dataclass(frozen=True)
class KnownPlugin:
    """A plugin of the catalogue.

    Attributes:
        namespace: Its components are called ``namespace.…``.
        distribution: The distribution that provides it.
        summary: One sentence.
        kinds: Kinds of its components.
        install: The command that installs it.
        where: Where that command is typed, if not anywhere.
    """

    namespace: str
    distribution: str
    summary: str
    kinds: tuple[str, ...]
    install: str
    where: str = ""

    @property
    def advice(self) -> str:
        """The command, and where to type it."""
        return f"{self.install} ({self.where})" if self.where else self.install


@cache
def catalogue() -> dict[str, KnownPlugin]:
    """All known plugins by namespace."""
    entries = json.loads(files(__package__).joinpath(_FILE).read_text("utf-8"))
    return {
        namespace: KnownPlugin(namespace=namespace, **{**entry, "kinds": tuple(entry["kinds"])})
        for namespace, entry in sorted(entries.items())
    }


def provider(distribution: str) -> KnownPlugin | None:
    """The entry of a distribution, named in canonical form."""
    return next((known for known in catalogue().values() if known.distribution == distribution), None)
