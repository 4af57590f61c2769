"""Weighted gradient ascent (Wang et al. 2025)."""
