"""What a task network says about images: region attribution and its bookkeeping.

Documented helpers for plugins: `fusekit.guidance.task.TaskGuidance`,
`fusekit.guidance.region.region_attribution`, `fusekit.guidance.straight.StraightPath`.
"""
