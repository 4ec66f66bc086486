"""P2SGrad."""

from torch import Tensor

from evenface.losses.base import CentreHead


class P2SGrad(CentreHead):
    """P2SGrad (Zhang et al., CVPR 2019, eq. 11): a gradient as large as the cosine's error.

    The paper gives the gradient, sum over j of (c_ij - [j = y]) times the gradient of c_ij, with no setting;
    it is that of the loss here, half the squared distance of a sample's cosines from their targets 1 and 0.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.

    Raises:
        UserError: an argument outside its range.
    """

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch of 1/2 sum_j (c_ij - [j = y])^2."""
        cosine, target = self.cosines(embeddings), labels[:, None]
        error = cosine.scatter(1, target, cosine.gather(1, target) - 1.0)
        return 0.5 * error.square().sum(dim=1).mean()
