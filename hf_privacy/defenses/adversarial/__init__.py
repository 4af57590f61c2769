"""Adversarial training: PGD-AT, TRADES and MART, each also with adversarial weight perturbation."""
