"""Plugin that resolves ``hf://`` addresses of the Hugging Face hub. Imports no torch, and nothing of the hub yet."""

from __future__ import annotations

from collections.abc import Mapping

from fusekit.plugin import hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_locations() -> Mapping[str, str]:
    """Declare the scheme of hub addresses."""
    return {"hf": "fusekit_hub.snapshots:model_file"}
