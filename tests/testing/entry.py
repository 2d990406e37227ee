"""Stands for the entry module of a plugin: imports no torch."""
