"""Reports of temperature scaling: document and JSON."""
