"""The tensors of a run by name, whole or divided among processes, as a checkpoint holds them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from evenface.losses import FaceLoss
from evenface.training.processes import Processes


class Part(NamedTuple):
    """A module of a run and what steps its parameters, which may step those of other parts too."""

    name: str
    module: nn.Module
    optimizer: Optimizer | None = None

    def classes(self) -> dict[str, int]:
        """Names of the tensors of which each process holds those of its classes, and how many there are."""
        if not isinstance(self.module, FaceLoss):
            return {}
        return dict.fromkeys(self.module.per_class(), self.module.num_classes)


class Entry(NamedTuple):
    """A tensor as this process holds it."""

    tensor: Tensor
    classes: int | None
    """How many the processes have together, where the first dimension is classes; None where all have all."""

    @property
    def shape(self) -> torch.Size:
        """Over all processes."""
        return (
            self.tensor.shape if self.classes is None else torch.Size((self.classes, *self.tensor.shape[1:]))
        )


Saved = Mapping[str, TensorStorageMetadata]
"""Size and dtype of every tensor of a checkpoint, by name."""


def entries(parts: Sequence[Part]) -> dict[str, Entry]:
    """Everything that the parts hold: `<part>.<name>`, and `optimizer.<part>.<parameter>.<key>`."""
    found = {}
    for part in parts:
        classes = part.classes()
        for name, tensor in part.module.state_dict().items():
            found[f"{part.name}.{name}"] = Entry(tensor, classes.get(name))
        for name, parameter, state in _stepped(part):
            for key, tensor in state.items():
                by_class = tensor.shape[:1] == parameter.shape[:1]
                found[f"{_owner(part, name)}.{key}"] = Entry(tensor, classes.get(name) if by_class else None)
    return found


def make_optimizer_state(parts: Sequence[Part], saved: Saved) -> None:
    """Give the optimizers the state tensors that a checkpoint has, zeros as yet."""
    keys: dict[str, list[str]] = {}
    for name in saved:
        owner, _, key = name.rpartition(".")
        keys.setdefault(owner, []).append(key)
    for part in parts:
        classes = part.classes()
        for name, parameter, state in _stepped(part):
            for key in keys.get(_owner(part, name), ()):
                there = saved[f"{_owner(part, name)}.{key}"]
                size, dtype = there.size, there.properties.dtype
                if name in classes and size[:1] == (classes[name],):
                    size = torch.Size((len(parameter), *size[1:]))
                # Fused as they are, the optimizers keep their counts of steps too where the parameter is.
                state[key] = torch.zeros(size, dtype=dtype, device=parameter.device)
                if size == parameter.shape:
                    state[key] = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)


def distributed(found: Mapping[str, Entry], me: Processes) -> dict[str, Tensor]:
    """The same tensors, those that are divided among several processes as DTensors over them all."""
    tensors = {name: entry.tensor for name, entry in found.items()}
    if me.world > 1:
        mesh = init_device_mesh(me.device.type, (me.world,))
        for name, (tensor, classes) in found.items():
            if classes is not None:
                shape = found[name].shape
                stride = torch.empty(shape, device="meta").stride()
                tensors[name] = DTensor.from_local(
                    tensor, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride
                )
    return tensors


def _stepped(part: Part) -> Iterator[tuple[str, nn.Parameter, dict[str, Tensor]]]:
    """The parameters that are stepped, and the optimizer's state of each."""
    if part.optimizer:
        for name, parameter in part.module.named_parameters():
            yield name, parameter, part.optimizer.state[parameter]


def _owner(part: Part, parameter: str) -> str:
    return f"optimizer.{part.name}.{parameter}"
