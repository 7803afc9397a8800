"""A `VerifyReport` as JSON, as a table for a terminal, and as a page for a browser."""
