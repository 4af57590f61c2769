"""SPD-GAN: a forget set perturbed to look unseen, and the unlearning degree it measures (2401.04385)."""
