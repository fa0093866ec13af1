"""Learning: the loop, its tasks, optimisers, samplers and batches."""
