"""Models: their parts assembled, the files that hold them, methods without parameters, weights of others."""
