"""Several processes that train one model (`torchrun`); with one process every function is trivial."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from evenface.errors import UserError
from evenface.losses import FaceLoss
from evenface.training.config import Device
from evenface.training.watch import watched


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process logs, measures and writes."""
        return self.rank == 0

    def gather(self, embeddings: Tensor, labels: Tensor, part: int) -> tuple[Tensor, Tensor]:
        """All processes' embeddings (N, D) and labels (N,), in the order of the ranks, for a loss over all.

        Every process then computes the same loss of the whole batch, so a loss that weighs samples by
        their company in the batch (EqM does) is the same however many processes there are. Only this
        process's own rows carry a gradient; DistributedDataParallel averages over the processes, so it is
        multiplied by their number. `part` is the most rows that one process can have.
        """
        if self.world == 1:
            return embeddings, labels
        missing = part - len(labels)  # images that could not be read
        rows = torch.cat([embeddings.detach(), embeddings.new_zeros(missing, embeddings.shape[1])])
        names = torch.cat([labels, labels.new_full((missing,), -1)])
        all_rows = [torch.empty_like(rows) for _ in range(self.world)]
        all_names = [torch.empty_like(names) for _ in range(self.world)]
        dist.all_gather(all_rows, rows)
        dist.all_gather(all_names, names)
        own = embeddings.clone()
        if own.requires_grad:
            own.register_hook(lambda gradient: gradient * self.world)  # type: ignore[no-untyped-call]
        all_rows[self.rank] = torch.cat([own, own.new_zeros(missing, own.shape[1])])
        together = torch.cat(all_names)
        return torch.cat(all_rows)[together >= 0], together[together >= 0]

    def average_gradients(self, head: FaceLoss) -> None:
        """Make the gradients, equal but for rounding on a GPU, of what all have of the head the same in all.

        Those of its classes are whole in the one process that has them.
        """
        if self.world > 1:
            divided = head.per_class()
            for name, parameter in head.named_parameters():
                if name not in divided and parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.world

    def agreed(self, decision: bool) -> bool:
        """The first process's decision, in all of them; they wait for it."""
        if self.world == 1:
            return decision
        value = torch.tensor(decision, dtype=torch.uint8, device=self.device)
        dist.broadcast(value, 0)
        return bool(value)

    def sum(self, count: int) -> int:
        """Of a number that each process has, the sum."""
        if self.world == 1:
            return count
        value = torch.tensor(count, device=self.device)
        dist.all_reduce(value)
        return int(value)

    def barrier(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            dist.barrier()


class ProcessLost(Exception):
    """Another of the processes that train together has ended, so that this one cannot go on."""


@contextmanager
def processes(device: Device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or be the only one.

    Where another process ends, those within are told by ProcessLost or, if PyTorch does not tell, by SIGTERM.

    Raises:
        UserError: there is no such device, or the first process cannot be reached.
        ProcessLost: from within, another process has ended.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: cuda was asked for and PyTorch sees no GPU; use --train.device cpu")
    cuda = device != "cpu" and torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(local)
    if world == 1:
        yield Processes(0, 1, local)
        return
    # By default those who wait for a long measurement would give up after half an hour; of a process that
    # is gone `watched` tells them at once.
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=1))
    lost = False
    try:
        with watched(local):
            yield Processes(dist.get_rank(), world, local)
    except RuntimeError as error:
        lost = _lost(error)
        if lost:
            raise ProcessLost(
                f"another of the {world} processes is gone: killed, out of memory, or stopped by an error "
                "that it printed itself"
            ) from error
        raise
    finally:
        if not lost:  # it might wait for the one that is gone
            dist.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    """Whether an error says that the connection to another process is gone, by gloo, the store or NCCL."""
    signs = ("gloo/transport/", "ncclRemoteError")
    known = isinstance(error, dist.DistNetworkError | dist.DistStoreError)
    return known or any(sign in str(error) for sign in signs)
