"""Fusing: from images in any container to a fused image in the same one."""
