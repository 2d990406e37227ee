"""Benchmarks: methods × datasets × dialects, cached, resumable, and rendered as a page."""
