"""The quick lab: gradient histograms of real faces and a two-layer network, seconds a run on one core.

It compares losses, not face recognition: the features are computed once and are not learned.

- `config`: every setting; a recipe with a table `[lab]` has them.
- `sources`, `features`: which pictures there are, and the histograms of them, kept in a cache.
- `sets`: who is trained on with how many images, and whose images are tested.
- `network`, `trainer`, `measure`: one run.
- `run`, `command`: from the settings to the figures.
"""
