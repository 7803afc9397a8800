"""Catalogs of named objects, and the grammar in which they are called with settings."""
