"""Figures of a comparison for papers, drawn by matplotlib."""
