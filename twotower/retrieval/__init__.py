"""First stage: the two towers and how they are searched."""
