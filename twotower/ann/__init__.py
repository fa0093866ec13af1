"""Nearest-neighbour indexes over vectors and their recall."""
