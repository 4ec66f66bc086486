"""What a trained model's embeddings say of the labels: lists for a human to decide on, the worst first."""
