"""Callbacks that watch a training and change nothing of it: training dynamics, input curvature."""
