"""Confidence penalty (Pereyra et al. 2017)."""
