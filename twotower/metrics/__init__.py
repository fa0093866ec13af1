"""Pure functions of ranked lists and truth."""
