"""The head reads its centres in blocks: the same numbers, and never N x C of them at once."""

import copy

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from evenface import losses
from evenface.losses import columns, regularisers, rivals

WITH_CENTRES = sorted(n for n, kind in losses.LOSSES.items() if issubclass(kind, losses.CentreHead))


def made(name: str, classes: int, size: int) -> losses.CentreHead:
    torch.manual_seed(0)
    head = losses.create(name, classes, size)
    head.use_class_sizes(torch.randint(1, 50, (classes,)))
    regularisers.add(head, "iam")
    with torch.no_grad():
        head.centres.normal_(std=0.3)  # of some length, so that its own gradient is not all that counts
    return head


def slopes(head: losses.CentreHead, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The loss, its gradients and what the buffers became, of a copy."""
    head, x = copy.deepcopy(head), x.detach().requires_grad_()
    loss = head(x, y)
    loss.backward()
    found = {"loss": loss.detach(), "x": x.grad, **dict(head.named_buffers())}
    return found | {name: weight.grad for name, weight in head.named_parameters()}


@pytest.mark.parametrize("rows", [5, 20])  # fewer than dimensions, and more
@pytest.mark.parametrize("entries", [1, 60, 10_000])
@pytest.mark.parametrize("name", WITH_CENTRES)
def test_the_size_of_a_block_changes_nothing(
    name: str, entries: int, rows: int, monkeypatch: pytest.MonkeyPatch
):
    head = made(name, 37, 6).double()
    x, y = torch.randn(rows, 6, dtype=torch.float64), torch.randint(37, (rows,))
    whole = slopes(head, x, y)
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: max(1, entries // rows))
    for what, value in slopes(head, x, y).items():
        torch.testing.assert_close(
            value, whole[what], rtol=1e-10, atol=1e-12, msg=lambda s, w=what: f"{w}: {s}"
        )


@pytest.mark.parametrize("width", [7, 1000])
@pytest.mark.parametrize("name", ["eqm", "arcface", "curricularface", "sphereface2"])
def test_going_back_twice_gives_twice_the_gradients(name: str, width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: width)
    head = made(name, 37, 6).double()
    x, y = torch.randn(20, 6, dtype=torch.float64, requires_grad=True), torch.randint(37, (20,))
    loss, read = head(x, y), (x, head.centres)
    loss.backward(retain_graph=True)
    once = [tensor.grad.clone() for tensor in read]
    loss.backward()
    for tensor, gradient in zip(read, once, strict=True):
        torch.testing.assert_close(tensor.grad, 2 * gradient)


@pytest.mark.parametrize("width", [7, 1000])
@pytest.mark.parametrize("change", [None, torch.square])
@pytest.mark.parametrize("raw", [False, True])
def test_rows_that_do_not_move_the_centres(
    raw: bool, change: rivals.Change | None, width: int, monkeypatch: pytest.MonkeyPatch
):
    """The centres and biases get the gradient of the other rows alone, the rows themselves all of theirs."""
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: width)
    head = losses.create("softmax", 37, 6).double()
    with torch.no_grad():
        head.centres.normal_()
    x, y = torch.randn(8, 6, dtype=torch.float64, requires_grad=True), torch.randint(37, (8,))
    settings = {"raw": True, "bias": "bias"} if raw else {"scale": 3.0}
    moved = [head.centres, head.bias] if raw else [head.centres]

    def value(rows: Tensor, labels: Tensor, moving: int | None) -> Tensor:
        with head.reading(labels):
            return (head.rivals(rows, labels, change, moving=moving, **settings) ** 2).sum()

    def gradients(total: Tensor, of: list[Tensor]) -> list[Tensor]:
        head.zero_grad()
        total.backward()
        return [tensor.grad.clone() for tensor in of]

    for found, expected in zip(
        gradients(value(x, y, 5), moved), gradients(value(x[:5], y[:5], None), moved), strict=True
    ):
        torch.testing.assert_close(found, expected)
    x.grad = None
    (all_of_them,) = gradients(value(x, y, None), [x])
    x.grad = None
    torch.testing.assert_close(gradients(value(x, y, 5), [x])[0], all_of_them)


@pytest.mark.parametrize(("rows", "again"), [(9, 0), (16, 0), (32, 5), (64, 8)])
@pytest.mark.parametrize("name", ["cosface", "subcentre-arcface", "adacos"])
def test_products_are_kept_where_the_centres_gradient_will_be(
    name: str, rows: int, again: int, monkeypatch: pytest.MonkeyPatch
):
    """16 dimensions, 10 blocks: all of 16 rows, half of 32, a quarter of 64, in whole blocks."""
    head = losses.create(name, 100, 16)
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: 10)
    computed: list[int] = []
    products = rivals.Rivals.products

    def counted(self: rivals.Rivals, rows: Tensor, start: int, stop: int, room: Tensor) -> object:
        computed.append(start)
        return products(self, rows, start, stop, room)

    monkeypatch.setattr(rivals.Rivals, "products", counted)
    loss = head(torch.randn(rows, 16, requires_grad=True), torch.randint(100, (rows,)))
    there = 20 if name == "adacos" else 10  # which goes over all once before, without a gradient
    assert len(computed) == there
    loss.backward()
    assert len(computed) == there + again


@pytest.mark.parametrize("frozen", [True, False])
def test_without_a_gradient_of_the_centres_none_is_made(frozen: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columns.Columns, "_memory", lambda self: pytest.fail("made one"))
    head = losses.create("cosface", 100, 16)
    head.centres.requires_grad_(not frozen)
    with torch.set_grad_enabled(frozen):
        head(torch.randn(4, 16, requires_grad=True), torch.randint(100, (4,)))


@pytest.mark.parametrize("name", ["eqm", "arcface", "uniface"])
def test_going_back_to_the_embeddings_first_changes_nothing(name: str):
    head = made(name, 37, 6).double()
    x, y = torch.randn(20, 6, dtype=torch.float64, requires_grad=True), torch.randint(37, (20,))
    expected = slopes(head, x.detach(), y)
    head.zero_grad()
    loss = head(x, y)
    (alone,) = torch.autograd.grad(loss, x, retain_graph=True)
    loss.backward()
    torch.testing.assert_close(alone, expected["x"])
    torch.testing.assert_close(x.grad, expected["x"])
    torch.testing.assert_close(head.centres.grad, expected["centres"])


@pytest.mark.parametrize("name", WITH_CENTRES)
def test_float32_in_blocks_agrees_with_float64(name: str, monkeypatch: pytest.MonkeyPatch):
    """To 1e-5 of the largest entry, for gradients too, at the scale that each loss has by itself."""
    head = made(name, 3000, 32)
    x, y = 5 * torch.randn(24, 32), torch.randint(3000, (24,))
    exact = slopes(copy.deepcopy(head).double(), x.double(), y)
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: 200)
    for what, value in slopes(head, x, y).items():
        if value.is_floating_point() and exact[what].abs().max() > 0:
            error = (value.double() - exact[what]).abs().max() / exact[what].abs().max()
            assert error < 1e-5, f"{what}: {error:.1e}"


@pytest.mark.parametrize("name", ["eqm", "cosface", "arcface", "normalized-softmax"])
@pytest.mark.parametrize("near", [True, False])
def test_bfloat16_embeddings_at_scale_128(name: str, near: bool):
    """Logits from -128 to 128, samples near their centres or opposite: as float64 of the same embeddings."""
    torch.manual_seed(0)
    head = losses.create(name, 500, 16, scale=128.0)
    y = torch.randint(500, (32,))
    with torch.no_grad():
        head.centres.normal_()
        x = (head.centres[y] * (1 if near else -1) + 0.5 * torch.randn(32, 16)).bfloat16()
    found, exact = slopes(head, x, y), slopes(copy.deepcopy(head).double(), x.double(), y)
    for what, value in found.items():
        assert torch.isfinite(value).all(), what
        error = (value.double() - exact[what]).abs().max()
        # bfloat16 has 8 bits, and a gradient of bfloat16 embeddings is rounded to them.
        assert error <= exact[what].abs().max() * (2**-8 if what == "x" else 2e-5) + 1e-7, what


class Largest(TorchDispatchMode):
    """Entries of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.untyped_storage().nbytes() // 4 for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.entries = max([self.entries, *sizes])
        return result


@pytest.mark.parametrize("name", WITH_CENTRES)
def test_never_n_by_c_values(name: str, monkeypatch: pytest.MonkeyPatch):
    """256 embeddings, 6,000 classes: 1.5 million cosines, and the largest tensor is the centres' gradient."""
    head = made(name, 6000, 8)
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: 20_000 // rows)
    x, y = torch.randn(256, 8, requires_grad=True), torch.randint(6000, (256,))
    with Largest() as largest:
        head(x, y).backward()
    assert largest.entries <= max(head.centres.numel(), 256 * 256)  # UNPG compares the samples too


@pytest.mark.parametrize("name", ["regularface", "uniformface"])
@pytest.mark.parametrize("entries", [1, 5000])
def test_classes_are_compared_with_each_other_in_blocks(
    name: str, entries: int, monkeypatch: pytest.MonkeyPatch
):
    head = losses.create("cosface", 400, 8).double()
    regularisers.add(head, name, weight=100.0)
    x, y = torch.randn(4, 8, dtype=torch.float64), torch.randint(400, (4,))
    whole = slopes(head, x, y)
    monkeypatch.setattr("evenface.losses.regularisers.base._BLOCK", entries)
    with Largest() as largest:
        blocks = slopes(head, x, y)
    for what, value in blocks.items():
        torch.testing.assert_close(value, whole[what], rtol=1e-10, atol=1e-12)
    assert largest.entries <= 2 * max(entries, head.centres.numel())  # Largest counts float64 as two


def test_what_a_head_holds_after_a_step_is_its_weights_and_their_gradient():
    """Nothing of the call stays behind: no second gradient, no blocks."""
    head = losses.create("eqm", 50, 8)
    head(torch.randn(9, 8), torch.randint(50, (9,))).backward()
    assert {k for k, v in vars(head).items() if isinstance(v, Tensor)} == set() and head._call is None
    first = head.centres.grad.clone()
    head.zero_grad(set_to_none=False)
    head(torch.randn(9, 8), torch.randint(50, (9,))).backward()  # adds to the gradient that is there
    assert not torch.equal(head.centres.grad, first)


def test_centres_are_read_within_a_call_only():
    head = losses.create("cosface", 5, 4)
    with pytest.raises(RuntimeError, match=r"within `head\.reading\(labels\)`"):
        head.own(torch.tensor([1]))


def test_centres_begin_as_one_draw_of_all_would():
    for size in (8, 5):  # 5: not a multiple of what the generator fills at once
        torch.manual_seed(3)
        head = losses.create("cosface", 40_000, size)
        torch.manual_seed(3)
        assert torch.equal(head.centres, torch.empty(40_000, size).normal_(std=0.02))


@pytest.mark.parametrize("name", ["eqm", "arcface", "sphereface2", "softmax"])
def test_products_of_bfloat16_are_near(name: str):
    """To 2 % of the largest entry, of the gradients; and other numbers than those of float32."""
    head = made(name, 300, 64)
    x, y = 5 * torch.randn(24, 64), torch.randint(300, (24,))
    exact = slopes(head, x, y)
    head.low_precision = True
    for what, value in slopes(head, x, y).items():
        if value.is_floating_point() and exact[what].abs().max() > 0:
            error = (value - exact[what]).abs().max() / exact[what].abs().max()
            assert error < 0.02, f"{what}: {error:.1e}"
            assert error > 0 or what.endswith("bias") or value.ndim == 0 or what.startswith("reg"), what


def test_a_gpu_multiplies_bfloat16_into_float32():
    """On a device that only tells shapes and kinds: the CPU has no such product."""
    head = losses.create("cosface", 30, 8)
    over = rivals.Rivals(head.centres, torch.neg, "sum", low_precision=True)
    product = over.matmul(torch.ones(4, 8, device="meta"), torch.ones(8, 30, device="meta"))
    assert product.shape == (4, 30) and product.dtype == torch.float32
