"""The landscape of an energy as a document, as JSON and as pictures."""
