"""Several losses, several seeds, the same mini-batches: planned, trained, compared."""
