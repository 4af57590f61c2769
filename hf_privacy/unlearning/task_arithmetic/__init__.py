"""Task arithmetic: what learning the forget set more would add is taken off (Ilharco et al. 2022)."""
