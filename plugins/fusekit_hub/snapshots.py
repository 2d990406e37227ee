"""Model files of the Hugging Face hub: from its offline cache, or downloaded if the user allows it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fusekit.errors import DataError, UsageError

MODEL, FILES = "model.safetensors", ["model.safetensors", "README.md", "recipe.yaml"]
"""Files that are read from a repository: the model file, its card and its recipe. No other file is downloaded."""

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(rf"hf://(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[A-Za-z0-9][\w./-]{{0,199}}))?")


def model_file(address: str) -> Path:
    """The local model file of ``hf://ORG/NAME@REVISION``; its card and recipe, if any, are in the same folder.

    Args:
        address: The address. The revision (commit, tag or branch) is required, because the content of a repository may
            change.

    Raises:
        UsageError: The address is not valid, or the extra ``hub`` is not installed.
        DataError: The model file is not in the cache and downloads are not allowed, or the repository lacks it.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or ".." in address:
        raise UsageError(f"{address} is not of the form hf://ORG/NAME@REVISION")
    if found["revision"] is None:
        raise UsageError(
            f"{address} does not name a revision, so its content could change",
            hint=f"write {address}@COMMIT; a tag or a branch such as @main is accepted too",
        )
    return _snapshot(address, found["repository"], found["revision"])


def _snapshot(address: str, repository: str, revision: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise UsageError(
            f"{address} needs the package huggingface_hub", hint="pip install 'image-fusekit[hub]'"
        ) from None
    online = os.environ.get("FUSEKIT_ALLOW_DOWNLOAD") == "1"
    hint = "check the address and the network" if online else "FUSEKIT_ALLOW_DOWNLOAD=1 allows downloading it once"
    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=FILES, local_files_only=not online)
    except LocalEntryNotFoundError:
        raise DataError(f"{address} is not in the local cache of the hub", hint=hint) from None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{address} cannot be downloaded: {reason}", hint=hint) from error
    path = Path(folder) / MODEL
    if not path.is_file():
        raise DataError(f"{address} has no file {MODEL}" + ("" if online else " in the local cache"), hint=hint)
    return path
