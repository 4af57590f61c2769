"""DP-SGD: per-example clipping, noise from a secret stream, the ledger of what was spent."""
