"""What the papers claim beside what our runs and code say: claims, equations, discrepancies."""
