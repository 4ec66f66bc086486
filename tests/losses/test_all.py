"""Every loss, through one suite."""

import copy

import pytest
import torch

from evenface import losses
from evenface.errors import UserError

C, D, N = 7, 16, 24


@pytest.fixture(params=sorted(losses.LOSSES))
def head(request: pytest.FixtureRequest) -> losses.CentreHead:
    torch.manual_seed(0)
    return losses.create(request.param, C, D)


def batch(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(N, D, generator=g, dtype=torch.float64).to(dtype), torch.randint(C, (N,), generator=g)


def test_scalar_float32_and_gradients_everywhere(head):
    x, y = batch()
    x.requires_grad_()
    loss = head(x, y)
    assert loss.shape == () and loss.dtype == torch.float32 and loss > 0
    loss.backward()
    for gradient in (x.grad, head.centres.grad):
        assert torch.isfinite(gradient).all() and (gradient.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_embeddings_are_computed_in_float32(head, dtype):
    x, y = batch(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = head(x, y)
    assert low.dtype == torch.float32
    fresh = copy.deepcopy(head)
    if isinstance(fresh, losses.SphereFace):
        fresh.step.zero_()
    assert torch.equal(low, fresh(x.float(), y))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_finite_gradients_at_cosines_of_exactly_one_and_minus_one(head, sign, dtype):
    y = torch.arange(C)
    with torch.no_grad():
        head.centres.zero_()
        head.centres[:, :C] = torch.eye(C) * 4
        head.centres[1] = -head.centres[0]
    x = (sign * head.centres.detach()).to(dtype).requires_grad_()
    loss = head(x, y)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all() and torch.isfinite(head.centres.grad).all()


def test_gradient_agrees_with_finite_differences(head):
    head = head.double().eval()
    with torch.no_grad():
        head.centres.normal_(generator=torch.Generator().manual_seed(3))
    x, y = (part[:5] for part in batch(torch.float64))
    if isinstance(head, losses.EqM):
        head.hardness = 0.0  # its weights are constants by definition, which finite differences do not know
    assert torch.autograd.gradcheck(lambda e: head(e, y), x.requires_grad_(), atol=1e-6)
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(head, {"centres": w}, (x.detach(), y)),
        head.centres.detach().clone().requires_grad_(),
        atol=1e-6,
    )


def test_invariant_to_the_order_of_classes_and_of_samples(head):
    x, y = batch()
    before = head.eval()(x, y)
    order = torch.randperm(C, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        head.centres.copy_(head.centres[order])
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(head(x[rows], torch.argsort(order)[y][rows]), before)


def test_batches_of_one_sample_and_of_one_class(head):
    x, y = batch()
    for part in (slice(0, 1), y == y[0]):
        assert torch.isfinite(head(x[part], y[part]))


def test_state_is_saved_and_restored(head):
    x, y = batch()
    head(x, y)
    other = losses.create(next(n for n, c in losses.LOSSES.items() if type(head) is c), C, D)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(x, y), head(x, y))


@pytest.mark.parametrize(
    ("embeddings", "labels", "words"),
    [
        (torch.zeros(0, D), torch.zeros(0, dtype=torch.int64), "empty"),
        (torch.ones(2, D), torch.tensor([0, C]), f"label {C} is outside 0 to {C - 1}"),
        (torch.ones(2, D), torch.tensor([0, -1]), "label -1"),
        (torch.ones(2, D + 1), torch.tensor([0, 1]), r"expected embeddings \(N, 16\)"),
        (torch.ones(3, D), torch.tensor([0, 1]), "expected embeddings"),
        (torch.ones(2, D), torch.tensor([0.0, 1.0]), "int64"),
        (torch.tensor([[1.0] * D, [float("nan")] * D]), torch.tensor([0, 1]), "1 of 2 rows, first row 1"),
        (torch.full((2, D), float("inf")), torch.tensor([0, 1]), "2 of 2 rows"),
    ],
)
def test_bad_batches_are_refused_in_words(head, embeddings, labels, words):
    with pytest.raises(ValueError, match=words):
        head(embeddings, labels)


def test_sizes_are_refused_in_words(head):
    with pytest.raises(UserError, match=r"loss\.num_classes: 1 is outside"):
        type(head)(1, D)
    with pytest.raises(UserError, match=r"loss\.embedding_size"):
        type(head)(C, 1)


def test_centres_learn_from_their_initial_state(head):
    """200 steps on separable data turn the mean centre by more than 20 degrees and classify everything."""
    g = torch.Generator().manual_seed(5)
    y = torch.arange(C).repeat(8)
    x = 8 * torch.randn(C, D, generator=g)[y] + torch.randn(len(y), D, generator=g)
    start = head.directions().detach().clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        head(x, y).backward()
        optimizer.step()
    turned = torch.rad2deg((head.directions() * start).sum(1).clamp(-1, 1).acos()).mean()
    assert turned > 20
    assert ((x @ head.directions().T).argmax(1) == y).all()


def test_unknown_loss_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'cosface'"):
        losses.create("cosfce", C, D)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("eqm", {"lower": 1.5}, r"loss\.lower: 1.5"),
        ("eqm", {"lower": 0.1, "upper": 0.2}, r"loss\.upper: 0.2 must be below"),
        ("eqm", {"hardness": -1}, r"loss\.hardness"),
        ("eqm", {"centre_weight": -1}, r"loss\.centre_weight"),
        ("eqm", {"centre_upper": 2.0}, r"loss\.centre_upper"),
        ("eqm", {"gain": 0.0}, r"loss\.gain"),
        ("eqm", {"scale": float("nan")}, r"loss\.scale"),
        ("cosface", {"margin": -0.1}, r"loss\.margin"),
        ("arcface", {"margin": 2.0}, r"loss\.margin"),
        ("sphereface", {"margin": 0}, r"loss\.margin"),
        ("sphereface", {"least_lambda": -1}, r"loss\.least_lambda"),
        ("normalized-softmax", {"scale": 0}, r"loss\.scale"),
    ],
)
def test_settings_out_of_range_name_the_field(name, options, words):
    with pytest.raises(UserError, match=words):
        losses.create(name, C, D, **options)
