"""Rewrites of a network into an equal one, one a file."""
