"""UNDIAL: self-distillation with the row's own tokens held down (Dong et al. 2024)."""
