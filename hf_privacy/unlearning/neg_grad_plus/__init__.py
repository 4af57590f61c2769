"""NegGrad+: ascent on what is to be forgotten, descent on the rest (Kurmanji et al. 2023)."""
