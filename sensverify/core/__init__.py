"""Values that every part shares: boxes, results, queries, proofs, provenance, sensitivity."""
