"""The energy landscape of a loss: minima, saddles and paths, and how sensitive its networks are."""
