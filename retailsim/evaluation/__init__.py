"""Metrics and baselines on hidden products."""
