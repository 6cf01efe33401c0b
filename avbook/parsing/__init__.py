"""Weakly supervised video parsing: HAN, its pooling, MA's contrast and label refinement."""
