"""Measures of complexity: figures of the weights alone."""
