"""Results as documents, which are shown as a page, in a terminal, as tables and as JSON."""
