"""Plugin with image fusion metrics, in the dialect `strict` and against a known ideal."""
