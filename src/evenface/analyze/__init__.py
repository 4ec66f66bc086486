"""The geometry of a trained model, by its training set.

- `run`: a run's folder as embeddings, labels and centres.
- `figures`: the numbers of each class, and over the classes.
- `page`: the plots, on one page.
- `command`: `evenface analyze`.
"""
