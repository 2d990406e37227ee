"""Workarounds for bugs of other packages, each with the exact condition under which it applies."""
