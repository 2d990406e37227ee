"""Evaluation: benchmarks, the frozen segmentation protocol, and the conversion of images for metrics."""
