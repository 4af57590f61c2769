"""How much of its training texts a language model gives back."""
