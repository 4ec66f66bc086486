"""A trained model put to use: its thresholds, and whether two pictures show one person."""
