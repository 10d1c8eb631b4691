"""Families of p(z): one file, one option of the group ``prior``."""
