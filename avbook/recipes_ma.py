"""MA as a recipe."""
