"""Top-K and Random-k perturbation of parameters (2401.04385)."""
