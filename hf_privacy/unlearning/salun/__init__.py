"""SalUn: random labels on the salient weights (Fan et al. 2024)."""
