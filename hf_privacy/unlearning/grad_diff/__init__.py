"""Gradient difference: up on what is to be forgotten, down on the rest (Liu et al. 2022)."""
