"""For authors of plugins: what ``plugins new`` writes, and the doctor. Imports no torch."""
