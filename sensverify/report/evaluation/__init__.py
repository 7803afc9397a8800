"""The report of an evaluation: a page, JSON, CSV tables and a summary for the terminal."""
