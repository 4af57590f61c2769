"""Requests to forget: their queue and their log."""
