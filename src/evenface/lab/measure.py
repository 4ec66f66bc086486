"""What a run of the lab comes to."""

import torch
from torch import nn

from evenface.evaluation.metrics import read_eer, read_tar
from evenface.evaluation.people import pairs_roc, rank1
from evenface.geometry import class_means, nearest, scopes, spread
from evenface.lab.sets import Faces
from evenface.losses import CentreHead, FaceLoss

FARS = ("1e-2", "1e-3", "1e-4")


@torch.no_grad()
def measure(net: nn.Module, head: FaceLoss, train: Faces, test: Faces) -> dict[str, float]:
    """Accuracy on all pairs of the test images, and the geometry of the training images.

    Returns, as shares: `tar@far=...`, `eer`, `rank1` (leave one out). As standard deviation over mean, over
    the training people: `centres.cv` of the angle to the nearest other centre, `means.cv` the same of the
    empirical means, `scopes.cv` of the mean angle to the own centre, `scopes2.cv` of the expected largest
    angle of two images. In degrees: `centres.mean`, `scopes.mean`, and of the margins, half the angle to the
    nearest other centre less the mean scope, `margins.mean`, `margins.sd`, and `margins.head` and
    `margins.tail`: of the third of the people with the most images, and of that with the fewest. Where the
    loss has no centres, the empirical means stand for them.
    """
    net.eval()
    embeddings = net(test.features).numpy()
    labels = test.labels.numpy()
    curve = pairs_roc(embeddings, labels)
    figures = {f"tar@far={far}": read_tar(curve, float(far)).tar for far in FARS}
    figures |= {"eer": read_eer(curve), "rank1": rank1(embeddings, labels)}

    embeddings = net(train.features)
    counts = torch.bincount(train.labels)
    means = class_means(embeddings, train.labels, len(counts))
    centres = head.directions() if isinstance(head, CentreHead) else means
    angles, _ = nearest(centres)
    own = scopes(embeddings, train.labels, centres)
    margins = angles / 2 - own.mean
    third = len(counts) // 3
    order = torch.argsort(counts, descending=True, stable=True)
    apart, width = spread(angles), spread(own.mean)
    return figures | {
        "centres.cv": apart.cv,
        "means.cv": spread(nearest(means)[0]).cv,
        "scopes.cv": width.cv,
        "scopes2.cv": spread(own.largest_of(2)).cv,
        "centres.mean": apart.mean,
        "scopes.mean": width.mean,
        "margins.mean": float(margins.mean()),
        "margins.sd": spread(margins).sd,
        "margins.head": float(margins[order[:third]].mean()),
        "margins.tail": float(margins[order[-third:]].mean()),
    }
