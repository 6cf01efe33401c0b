"""Recipes, the runs of their seeds, the records of these runs, and tables from the records."""
