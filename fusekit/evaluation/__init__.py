"""Evaluation: metrics and their dialects, benchmarks, downstream protocols and reports."""
