"""A trained model put to use: its thresholds, who is on a picture, its embeddings, other runtimes."""
