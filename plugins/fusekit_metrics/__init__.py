"""Image fusion metrics, each in a named dialect: `strict`, and against a known ideal."""
