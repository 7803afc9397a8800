"""Slopes of a network: their document and their JSON."""
