"""Reports of a benchmark: document, charts and JSON."""
