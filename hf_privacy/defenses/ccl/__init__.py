"""Convex-concave loss (Liu et al. 2024)."""
