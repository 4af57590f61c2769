"""DuoLearn (Tran et al. 2025)."""
