"""What a run of the lab comes to."""

import torch
from torch import nn

from evenface.evaluation.metrics import read_eer, read_tar
from evenface.evaluation.people import pairs_roc, rank1
from evenface.geometry import evenness
from evenface.lab.sets import Faces
from evenface.losses import CentreHead, FaceLoss

FARS = ("1e-2", "1e-3", "1e-4")


@torch.no_grad()
def measure(net: nn.Module, head: FaceLoss, train: Faces, test: Faces) -> dict[str, float]:
    """Accuracy on all pairs of the test images, and the geometry of the training images.

    Returns `tar@far=...`, `eer` and `rank1` (leave one out), as shares, and what
    `evenface.geometry.evenness` returns; where the loss has no centres, the empirical means stand for them.
    """
    net.eval()
    embeddings = net(test.features).numpy()
    labels = test.labels.numpy()
    curve = pairs_roc(embeddings, labels)
    figures = {f"tar@far={far}": read_tar(curve, float(far)).tar for far in FARS}
    figures |= {"eer": read_eer(curve), "rank1": rank1(embeddings, labels)}

    centres = head.directions() if isinstance(head, CentreHead) else None
    return figures | evenness(net(train.features), train.labels, centres)
