"""Plugins: how components are declared, found, loaded and named. Imports no torch.

A plugin's entry module needs two names from here::

    from fusekit.plugin import component, hookimpl

    @hookimpl
    def fusekit_components():
        return [component("task", "toyseg.small", target="fusekit_toyseg.net:SmallSegmenter",
                          summary="A segmentation network of 40 thousand parameters")]
"""

from __future__ import annotations

from fusekit.plugin.hookspecs import hookimpl
from fusekit.plugin.specs import ComponentSpec, WeightsSpec, component, weights

__all__ = ["ComponentSpec", "WeightsSpec", "component", "hookimpl", "weights"]
