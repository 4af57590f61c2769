"""Fisher forgetting (Golatkar et al. 2020)."""
