"""Metrics, protocols and embedding of sets."""
