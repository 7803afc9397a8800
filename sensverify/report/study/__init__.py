"""The document of a study, its figures and its numbers as text."""
