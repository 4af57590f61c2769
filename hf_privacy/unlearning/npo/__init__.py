"""Negative preference optimisation (Zhang et al. 2024)."""
