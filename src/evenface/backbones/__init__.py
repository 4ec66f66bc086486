"""Networks that turn face pictures into embeddings."""
