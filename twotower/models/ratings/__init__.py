"""Models that predict the value which a user would give an item."""
