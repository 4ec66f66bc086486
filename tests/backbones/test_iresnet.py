import pytest
import torch
from torch import nn

from evenface import backbones
from evenface.backbones.count import count
from evenface.backbones.iresnet import IResNet
from evenface.errors import UserError

# Parameters: Open Model Zoo, face-recognition-resnet{34,50,100}-arcface, which folds some batch norms.
# Multiply-adds: InsightFace, arcface_torch README (there "FLOPs"), and for 34 half of Open Model Zoo's FLOPs.
PUBLISHED = {
    "iresnet18": (None, 2.6e9),
    "iresnet34": (34.129e6, 8.934e9 / 2),
    "iresnet50": (43.576e6, 6.3e9),
    "iresnet100": (65.131e6, 12.1e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_cost(name: str) -> None:
    parameters, multiply_adds = PUBLISHED[name]
    with torch.device("meta"):
        cost = count(backbones.create(name), (112, 112), 3)
    if parameters is not None:
        assert cost.parameters == pytest.approx(parameters, rel=1e-3)
    assert cost.multiply_adds == pytest.approx(multiply_adds, rel=0.01)


@pytest.mark.parametrize("layers", [18, 34, 50, 100])
def test_has_the_layers_of_its_name(layers: int) -> None:
    # The name counts the 3x3 convolutions and the fully connected layer.
    with torch.device("meta"):
        model = backbones.create(f"iresnet{layers}")
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert sum(conv.kernel_size == (3, 3) for conv in convs) + 1 == layers
    assert [conv.in_channels for conv in convs if conv.kernel_size == (1, 1)] == [64, 64, 128, 256]


def test_layers_bear_the_published_names() -> None:
    # Of InsightFace's recognition/arcface_torch/backbones/iresnet.py, so that its weights load.
    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape) for key, value in backbones.create("iresnet18").state_dict().items()
        }
    assert shapes["conv1.weight"] == (64, 3, 3, 3)
    assert shapes["prelu.weight"] == (64,)
    assert shapes["fc.weight"] == (512, 512 * 7 * 7)
    assert shapes["fc.bias"] == shapes["features.weight"] == shapes["bn2.running_var"] == (512,)
    block = {key.removeprefix("layer2.0."): shape for key, shape in shapes.items() if "layer2.0." in key}
    assert block["bn1.weight"] == (64,)
    assert block["conv1.weight"] == (128, 64, 3, 3)
    assert block["bn2.weight"] == block["prelu.weight"] == block["bn3.weight"] == (128,)
    assert block["conv2.weight"] == (128, 128, 3, 3)
    assert block["downsample.0.weight"] == (128, 64, 1, 1)
    assert block["downsample.1.weight"] == (128,)
    # 5 tensors for each batch norm, 1 for each convolution and PReLU.
    assert len(block) == 4 * 5 + 4


def test_embedding_has_unit_variance_whatever_is_learned() -> None:
    torch.manual_seed(0)
    model = backbones.create("iresnet18", embedding_size=8, input_size=(32, 32))
    assert [key for key, p in model.named_parameters() if not p.requires_grad] == ["features.weight"]
    out = model(torch.randn(16, 3, 32, 32))
    torch.testing.assert_close(out.std(dim=0, correction=0), torch.ones(8), rtol=0, atol=1e-3)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = backbones.create("iresnet18", embedding_size=8, input_size=(32, 32), dropout=0.5)
    assert isinstance(model, IResNet)
    x = torch.randn(4, 3, 32, 32)
    assert not torch.allclose(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range(dropout: float) -> None:
    with pytest.raises(UserError, match="dropout"):
        backbones.create("iresnet18", dropout=dropout)
