"""Catalogue of known plugins: which distribution to install if a recipe names a missing plugin.

The list is a file in this package, maintained by hand and never downloaded. For a namespace that is not in it, no
install command is suggested: a name derived from a recipe, such as ``pip install fusekit-NAME``, could belong to an
unrelated or malicious project.
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
        where: Folder in which to run that command; empty if any.
    """

    namespace: str
    distribution: str
    summary: str
    kinds: tuple[str, ...]
    install: str
    where: str = ""

    @property
    def advice(self) -> str:
        """The install command, and where to run it."""
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
    """The catalogue entry of a distribution, given by its canonical name."""
    return next((known for known in catalogue().values() if known.distribution == distribution), None)
