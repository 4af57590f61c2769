"""Goldfish loss (Hans et al. 2024)."""
