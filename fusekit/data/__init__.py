"""Data: image files, the colour policy, datasets, and the batches that training sees."""
