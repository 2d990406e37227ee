"""Recipes: YAML with positions, validated in phases and resolved. Imports no torch by itself."""
