"""The directory of a training: its configuration, checkpoints, figures and the model it writes."""
