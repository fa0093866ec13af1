"""Models of what items are: their content as weighted tokens, compared with that of the items in a history."""
