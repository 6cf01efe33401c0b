"""CMLCL as a recipe."""
