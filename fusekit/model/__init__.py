"""Models: assembly of their parts, model files, methods without parameters, import of third-party weights."""
