"""SimNPO: negative preference optimisation without a reference (Fan et al. 2024)."""
