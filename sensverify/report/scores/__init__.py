"""Analyses of scores as documents and as JSON."""
