import pytest
import torch

from evenface.backbones.parts import Residual, conv_bn, conv_bn_prelu, global_depthwise_head, last_map
from evenface.errors import UserError


def test_last_map_is_a_sixteenth() -> None:
    assert last_map((112, 96)) == (7, 6)
    with pytest.raises(UserError, match="112x100"):
        last_map((112, 100))


def test_residual_adds_the_body_to_the_input() -> None:
    x = torch.randn(2, 3)
    body = torch.nn.Tanh(), torch.nn.Softsign()
    torch.testing.assert_close(Residual(*body)(x), x + body[1](body[0](x)))


def test_conv_bn_is_linear_and_conv_bn_prelu_is_not() -> None:
    x = torch.randn(2, 3, 5, 5)
    for block, linear in ((conv_bn(3, 4, 3), True), (conv_bn_prelu(3, 4, 3), False)):
        block.eval()
        assert torch.allclose(block(-x), -block(x), atol=1e-6) == linear


def test_fresh_convolutions_keep_the_variance_through_prelu() -> None:
    # He et al. 2015: layer after layer, without batch norm (fresh statistics in eval mode are none).
    torch.manual_seed(0)
    x = torch.randn(16, 64, 16, 16)
    for _ in range(4):
        x = conv_bn_prelu(64, 64, 3, padding=1).eval()(x)
    # Zeros past the border take some.
    assert 0.4 < x[:, :, 4:-4, 4:-4].square().mean() < 2


def test_head_weighs_every_place_of_the_map() -> None:
    head = global_depthwise_head(4, (3, 2), 5).eval()
    x = torch.randn(1, 4, 3, 2, requires_grad=True)
    out = head(x)
    assert out.shape == (1, 5)
    out[0, 0].backward()
    assert x.grad is not None
    assert len(set(x.grad.flatten().tolist())) == x.numel()
