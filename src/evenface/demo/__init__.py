"""EqM beside three other losses on faces that any machine can install."""
