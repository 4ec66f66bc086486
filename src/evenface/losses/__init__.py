"""Losses that own class centres."""
