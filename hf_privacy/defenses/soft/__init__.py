"""SOFT (Zhang et al. 2025)."""
