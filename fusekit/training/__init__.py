"""Training: the trainer runs steps, schedules, checkpoints and logs; strategies implement the algorithms.

Documented helpers for strategies: `fusekit.training.fusion_loss`.
"""
