"""Protocols, tuning and reports."""
