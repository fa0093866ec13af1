"""Embedding layers, losses, optimisers and the one training loop."""
