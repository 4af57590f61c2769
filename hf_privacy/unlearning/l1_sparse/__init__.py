"""Fine-tuning with an L1 penalty (Jia et al. 2023)."""
