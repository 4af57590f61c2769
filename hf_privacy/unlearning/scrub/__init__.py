"""SCRUB (Kurmanji et al. 2023)."""
