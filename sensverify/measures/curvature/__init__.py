"""Measures of curvature: second derivatives of the loss, and the loss around the weights."""
