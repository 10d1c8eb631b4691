"""A local page on which a trained model can be tried out: the model's side in `Explorer`, a thin server before it."""
