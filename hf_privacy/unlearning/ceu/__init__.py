"""CE-U: the distribution of the model itself without the token, as its target (Yang 2025)."""
