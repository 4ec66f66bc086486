"""How many images the people of a set have, and what that does to training."""
