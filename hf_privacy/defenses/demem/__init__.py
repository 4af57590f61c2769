"""DeMem: a sample-wise de-memorization penalty in adversarial training (2412.05767)."""
