"""What a run does besides training: checkpoints, progress, pictures, its record."""
