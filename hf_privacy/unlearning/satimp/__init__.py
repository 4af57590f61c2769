"""SatImp: ascent on tokens by how sure the model is of them, and how unsure (Yang et al. 2025)."""
