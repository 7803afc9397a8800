"""Comparisons of two networks: their document and their JSON."""
