"""Measures of sensitivity: how outputs, loss and predicted class change with the input."""
