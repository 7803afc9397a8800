"""Cells of NAS-Bench-201 in tables of scores: searched, ranked and compared.

Imports numpy, never torch.
"""
