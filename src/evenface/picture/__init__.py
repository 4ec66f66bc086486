"""Ten classes on the circle and on the sphere, loss beside loss."""
