"""Encoders and decoders: one file per architecture; the groups ``encoder`` and ``decoder`` both read this folder."""
