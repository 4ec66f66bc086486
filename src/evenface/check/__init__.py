"""What is wrong with picture sets, said before a long run rather than in the middle of it."""
