import pytest
import torch

from evenface import backbones
from evenface.backbones.count import count


@pytest.mark.parametrize("channels", [1, 3])
def test_stays_tiny(channels: int) -> None:
    cost = count(backbones.create("tiny", embedding_size=256, channels=channels), (112, 112), channels)
    assert cost.parameters < 600_000
    assert cost.multiply_adds < 60_000_000


@pytest.mark.parametrize("input_size", [(32, 32), (33, 47), (112, 92), (127, 160)])
def test_takes_any_size_from_32(input_size: tuple[int, int]) -> None:
    model = backbones.create("tiny", embedding_size=8, input_size=input_size, channels=1)
    assert model(torch.randn(2, 1, *input_size)).shape == (2, 8)


def test_compiles_to_one_graph() -> None:
    model = backbones.create("tiny", embedding_size=8, input_size=(32, 32))
    x = torch.randn(2, 3, 32, 32)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
