"""Several members of one small variant, trained at once in one process and each as if it were alone."""
