"""The hooks that a plugin may implement."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from fusekit.plugin.specs import ComponentSpec

PROJECT = "fusekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class FusekitSpecs:
    """Namespace of the hook specifications."""

    @hookspec
    def fusekit_components(self) -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
        """The components that this plugin provides.

        Called once, right after the entry module is imported. Return specs made with `component`; their
        import targets are resolved when a component is used, so the entry module needs no torch.
        """
