"""Where images come from, how they are changed, how they are sampled."""
