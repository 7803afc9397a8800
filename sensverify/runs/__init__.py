"""What everything that takes long shares: its files, its watch, the facts of its machine."""
