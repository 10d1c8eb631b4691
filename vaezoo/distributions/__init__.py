"""Distributions on the training path: torch's interface, noise from one place, closed-form divergences."""
