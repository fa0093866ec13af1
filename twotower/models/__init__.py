"""Baselines and the zoo, one file a family."""
