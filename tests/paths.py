"""Where optional test material is found; tests that need it skip, saying so, where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def _beside(name: str, variable: str) -> Path | None:
    given = os.environ.get(variable)
    folder = Path(given) if given else REPOSITORY.parent / "shared" / name
    return folder if folder.is_dir() else None


def shared_data() -> Path | None:
    """Folder of real image pairs: ``FUSEKIT_TEST_DATA``, or ``../shared/data``; None where absent."""
    return _beside("data", "FUSEKIT_TEST_DATA")


def parity() -> Path | None:
    """Folder of the authors' weights and outputs: ``FUSEKIT_TEST_PARITY``, or ``../shared/parity``."""
    return _beside("parity", "FUSEKIT_TEST_PARITY")
