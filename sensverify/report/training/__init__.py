"""Reports of a training: document, charts and JSON."""
