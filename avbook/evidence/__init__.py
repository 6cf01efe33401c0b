"""Claims of the papers, their equations and discrepancies, compared with our runs and code."""
