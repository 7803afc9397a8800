"""Reports of critical radii: document, drawing and JSON."""
