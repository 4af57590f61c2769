"""Gradient ascent on the forget set."""
