"""Measures of forgetting."""
