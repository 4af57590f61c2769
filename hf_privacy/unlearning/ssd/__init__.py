"""Selective synaptic dampening (Foster et al. 2024)."""
