"""Locally optimised product quantisation: rotations, codes, probing, the index."""
