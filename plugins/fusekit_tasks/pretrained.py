"""Pretrained encoder weights: used if they are in the local cache, downloaded only with permission."""

from __future__ import annotations

import os

from fusekit.errors import UsageError


def require_cached(encoder: str, weights: str) -> None:
    """Require that pretrained weights are in the local cache.

    A download needs the user's permission: it is allowed if ``FUSEKIT_ALLOW_DOWNLOAD=1`` is set.

    Raises:
        UsageError: Downloads are not allowed and the weights are not in the local cache.
    """
    if os.environ.get("FUSEKIT_ALLOW_DOWNLOAD") == "1":
        return
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    wanted = encoder.removeprefix("tu-").replace("-", "_").lower()
    try:
        repositories = [repo.repo_id.lower().replace("-", "_") for repo in scan_cache_dir().repos]
    except CacheNotFound:
        repositories = []
    if any(wanted in repository for repository in repositories):
        return
    raise UsageError(
        f"pretrained weights {weights!r} of encoder {encoder!r} are not in the local cache",
        hint="set FUSEKIT_ALLOW_DOWNLOAD=1 to allow downloading them once, or use `weights: null`",
    )
