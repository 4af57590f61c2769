"""An audit of a model that cannot be opened, from a table of its scores: read, checked, made signals, attacked."""
