"""Weights as products: packing a finished run, model cards, verification, retraining, import of released weights."""
