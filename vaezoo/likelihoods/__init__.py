"""Families of p(x|z): modules that turn a decoder's features into a distribution over examples."""
