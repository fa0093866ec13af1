"""Answering from a published run: in external ids, for the command line, for Python, and later for HTTP."""
