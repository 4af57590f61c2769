"""Early stopping at the loss of a validation set."""
