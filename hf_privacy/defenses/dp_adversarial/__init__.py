"""Adversarial training under DP-SGD."""
