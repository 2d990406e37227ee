"""Registration of sources: whether they look shifted, and how one is warped to another."""
