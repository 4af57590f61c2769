"""HAMP: high-entropy training and outputs in random order (Chen & Pattabiraman 2024)."""
