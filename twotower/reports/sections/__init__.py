"""Sections of the report: each file holds one whole, from its measurement to its figures and Markdown."""
