"""Figures: plots, the demo's figures, widgets; and the book's pages as data."""
