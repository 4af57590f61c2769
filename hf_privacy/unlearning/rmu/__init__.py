"""RMU: what a layer makes of the forget rows is steered to a random direction (Li et al. 2024)."""
