"""Configuration, the loop, checkpoints."""
