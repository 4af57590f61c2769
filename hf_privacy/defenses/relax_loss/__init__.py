"""RelaxLoss (Chen et al. 2022)."""
