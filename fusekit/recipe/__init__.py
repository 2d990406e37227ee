"""Recipes: YAML with positions, validated in phases, assembled into a system. Imports no torch by itself."""
