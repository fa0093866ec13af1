"""The search for good options, on validation only."""
