"""The precision of the network's products."""

from collections.abc import Mapping
from typing import Any

import torch

from evenface.errors import UserError
from evenface.training.config import Precision


def product_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """What the network's products are rounded to; None is not at all.

    Raises:
        UserError: fp16 on a CPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise UserError("train.precision: fp16 needs a GPU; use bf16 or float32 on a CPU")
    return {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def slow_here(precision: Precision, device: torch.device) -> list[str]:
    """A sentence where bf16 is asked of a CPU that has no such products."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch that we allow
    if precision != "bf16" or device.type != "cpu" or tell is None or has_bf16(tell()):
        return []
    return [
        "train.precision: bf16 is far slower than float32 on this CPU, which has no bfloat16 products; "
        "stop and use float32, unless it is a trial of a few steps"
    ]


def has_bf16(cpu: Mapping[str, Any]) -> bool:
    """Whether a CPU of these capabilities has bfloat16 products: avx512_bf16, amx_bf16, or ARM's bf16."""
    return any("bf16" in name and have for name, have in cpu.items())
