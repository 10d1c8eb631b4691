"""Datasets: one file each, one DataModule for all of them."""
