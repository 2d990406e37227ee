"""Fusion of large images in tiles, in memory that does not grow with their area."""
