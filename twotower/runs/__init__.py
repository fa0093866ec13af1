"""Run directories: published whole, opened checked, served, indexed, compared."""
