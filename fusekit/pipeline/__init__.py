"""From a recipe to a run folder (train, fuse, evaluate, report), and from files to fused files."""
