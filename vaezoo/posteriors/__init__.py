"""Families of q(z|x): one file, one option of the group ``posterior``."""
