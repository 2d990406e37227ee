"""Training: the trainer keeps the books, strategies think.

Documented helpers for strategies: `fusekit.training.fusion_loss`.
"""
