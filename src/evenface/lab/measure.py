"""What a run of the lab comes to."""

import torch
from torch import nn

from evenface.evaluation.metrics import read_eer, read_tar
from evenface.evaluation.people import pairs_roc, rank1
from evenface.lab.sets import Faces
from evenface.losses import FaceLoss

FARS = ("1e-2", "1e-3", "1e-4")


@torch.no_grad()
def measure(net: nn.Module, head: FaceLoss, train: Faces, test: Faces) -> dict[str, float]:
    net.eval()
    embeddings = net(test.features).numpy()
    labels = test.labels.numpy()
    curve = pairs_roc(embeddings, labels)
    values = {f"tar@far={far}": read_tar(curve, float(far)).tar for far in FARS}
    values["eer"] = read_eer(curve)
    values["rank1"] = rank1(embeddings, labels)
    return values
