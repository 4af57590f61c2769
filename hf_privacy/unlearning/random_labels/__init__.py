"""Fine-tuning with random labels on the forget set."""
