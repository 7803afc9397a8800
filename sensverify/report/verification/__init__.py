"""Reports of one verification run: its document, its JSON, its files."""
