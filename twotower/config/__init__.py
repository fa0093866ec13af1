"""From conf/ to objects: the lowest floor that knows Hydra."""
