"""The training itself: steps, epochs, what is measured between them, and several processes."""
