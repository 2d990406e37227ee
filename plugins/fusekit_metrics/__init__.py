"""Plugin with image fusion metrics: the dialect `strict`, dialects of published evaluators, and a known ideal."""
