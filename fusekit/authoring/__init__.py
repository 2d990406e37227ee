"""Tools for plugin authors: the scaffold of ``plugins new``, the doctor and the recipe schema. Imports no torch."""
