"""Work-arounds for faults of other packages, each with the exact condition under which it acts."""
