"""A lower bound of ε from canaries that a second model is trained with."""
