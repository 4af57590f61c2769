"""Bad teacher (Chundawat et al. 2023)."""
