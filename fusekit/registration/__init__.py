"""Registration of sources: a check for shifted sources, and the estimation of a warp of one image to another."""
