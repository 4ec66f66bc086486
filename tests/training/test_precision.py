"""Which precision a device can have, and what a run says where it is slow."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from evenface.training.config import Config
from evenface.training.loop import train
from evenface.training.precision import has_bf16, product_type, slow_here

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cpu", "has"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": True, "architecture": "aarch64"}, True),
        ({"neon": True, "bf16": False, "architecture": "aarch64"}, False),
    ],
)
def test_which_cpus_have_bfloat16_products(cpu: dict[str, object], has: bool):
    assert has_bf16(cpu) == has


def test_types():
    assert product_type("float32", CPU) is None
    assert product_type("bf16", CPU) == torch.bfloat16
    assert product_type("fp16", torch.device("cuda")) == torch.float16


@pytest.mark.parametrize("has", [False, True])
def test_a_run_says_where_bf16_is_slow(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has}, raising=False)
    assert bool(slow_here("bf16", CPU)) != has
    assert not slow_here("float32", CPU)
    assert not slow_here("bf16", torch.device("cuda"))

    quick = replace(config.train, precision="bf16", epochs=1, device="cpu")
    console = Console(record=True, width=200, file=io.StringIO())
    train(replace(config, train=quick), tmp_path / "run", console=console)
    assert ("bf16 is far slower than float32 on this CPU" in console.export_text()) != has
