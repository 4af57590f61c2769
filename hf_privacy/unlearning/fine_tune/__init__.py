"""Fine-tuning on the retained examples alone."""
