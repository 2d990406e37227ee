"""The scaffold of a plugin: writes a complete distribution with one working component. Imports no torch."""

from __future__ import annotations

from fusekit.authoring.scaffold.scaffold import KINDS_TO_START, component_name, write_plugin

__all__ = ["KINDS_TO_START", "component_name", "write_plugin"]
