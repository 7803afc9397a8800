"""Reports of a checked certificate: document, claims in words, and JSON."""
