"""What a trained model is worth, measured in the same way for every variant."""
