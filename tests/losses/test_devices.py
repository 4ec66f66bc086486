"""Every loss, with every regulariser that it takes, wherever its embeddings are."""

import copy

import pytest
import torch

from evenface import losses
from evenface.losses import regularisers

C, D, N = 7, 16, 24


@pytest.fixture(params=sorted(losses.LOSSES))
def head(request: pytest.FixtureRequest) -> losses.FaceLoss:
    torch.manual_seed(0)
    head = losses.create(request.param, C, D)
    if isinstance(head, losses.CentreHead):
        for name in regularisers.REGULARISERS:
            regularisers.add(head, name)
    return head


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(N, D, generator=g), torch.randint(C, (N,), generator=g)


def test_what_a_loss_makes_is_made_where_the_embeddings_are(head):
    """A tensor made without a device would be on the default one, here one that holds no values."""
    x, y = batch()
    expected = copy.deepcopy(head)(x, y)
    with torch.device("meta"):
        loss = head(x, y)
    assert loss.device == x.device and torch.equal(loss, expected)
    assert all(buffer.device == x.device for buffer in head.buffers())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees_with_the_cpu(head):
    found = []
    for device in ("cpu", "cuda"):
        here = copy.deepcopy(head).double().to(device)
        x, y = (part.to(device) for part in batch())
        x = x.double().requires_grad_()
        loss = here(x, y)
        loss.backward()
        slopes = {name: weight.grad for name, weight in here.named_parameters()}
        found.append({"loss": loss.detach(), "x": x.grad, **slopes, **dict(here.named_buffers())})
    for name, value in found[0].items():
        torch.testing.assert_close(
            found[1][name].cpu(), value, msg=lambda words, name=name: f"{name}: {words}"
        )
