"""Preference optimisation towards another answer, such as "I do not know" (Maini et al. 2024)."""
