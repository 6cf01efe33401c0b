"""Helpers that every folder may use: atomic files, checks of options, tensors, the system."""
