"""Runs that take long: their folder, journal, workers, progress, watch, and machine."""
