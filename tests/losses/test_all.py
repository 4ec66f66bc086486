"""Every loss, through one suite."""

import copy

import pytest
import torch

from evenface import losses
from evenface.errors import UserError

C, D, N = 7, 16, 24
# Losses that stop part of their gradient by definition, which finite differences do not know: the settings
# under which nothing is stopped, or None where there are none (their own tests then check the gradient).
STOPPED = {
    "eqm": {"hardness": 0.0, "centre_weight": 0.0},
    "sphereface-r": {"margin": 1.0},
    "sphereface2": {"exponent": 1.0},
    "circle": None,
    "adaface": {"concentration": 0.0},
}


@pytest.fixture(params=sorted(losses.LOSSES))
def head(request: pytest.FixtureRequest) -> losses.FaceLoss:
    torch.manual_seed(0)
    return losses.create(request.param, C, D)


@pytest.fixture(params=sorted(n for n, kind in losses.LOSSES.items() if issubclass(kind, losses.CentreHead)))
def centre_head(request: pytest.FixtureRequest) -> losses.CentreHead:
    torch.manual_seed(0)
    return losses.create(request.param, C, D)


def name_of(head: losses.FaceLoss) -> str:
    return next(name for name, kind in losses.LOSSES.items() if type(head) is kind)


def batch(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(N, D, generator=g, dtype=torch.float64).to(dtype), torch.randint(C, (N,), generator=g)


def test_scalar_float32_and_gradients_everywhere(head):
    x, y = batch()
    x.requires_grad_()
    loss = head(x, y)
    assert loss.shape == () and loss.dtype == torch.float32 and loss > 0
    loss.backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
    if isinstance(head, losses.CentreHead):  # the others need not use every sample
        for gradient in (x.grad, head.centres.grad):
            assert torch.isfinite(gradient).all() and (gradient.abs().flatten(1).sum(dim=1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_embeddings_are_computed_in_float32(head, dtype):
    x, y = batch(dtype)
    fresh = copy.deepcopy(head)  # before the first call, which may change the head's buffers
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = head(x, y)
    assert low.dtype == torch.float32
    assert torch.equal(low, fresh(x.float(), y))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_finite_gradients_at_cosines_of_exactly_one_and_minus_one(centre_head, sign, dtype):
    head = centre_head
    y = torch.arange(C)
    with torch.no_grad():
        head.centres.zero_()
        head.centres[..., :C] = 4 * torch.eye(C).view(C, *[1] * (head.centres.ndim - 2), C)
        head.centres[1] = -head.centres[0]
    x = (sign * head.directions().detach() * 4).to(dtype).requires_grad_()
    loss = head(x, y)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all() and torch.isfinite(head.centres.grad).all()


def test_gradient_agrees_with_finite_differences(head):
    settings = STOPPED.get(name_of(head), {})
    if settings is None:
        pytest.skip("its gradient is stopped by definition")
    head = losses.create(name_of(head), C, D, **settings).double().eval()
    x, y = (part[:5] for part in batch(torch.float64))
    assert len(y.unique()) < len(y)  # so that a loss over pairs has one
    assert torch.autograd.gradcheck(lambda e: head(e, y), x.requires_grad_(), atol=1e-6)
    for name, weight in head.named_parameters():
        far = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        assert torch.autograd.gradcheck(
            lambda w, name=name: torch.func.functional_call(head, {name: w}, (x.detach(), y)),
            far.requires_grad_(),
            atol=1e-6,
        )


def test_invariant_to_the_order_of_classes_and_of_samples(head):
    x, y = batch()
    before = head.eval()(x, y)
    order = torch.randperm(C, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for per_class in (*head.parameters(), *head.buffers()):
            if per_class.shape[:1] == (C,):
                per_class.copy_(per_class[order])
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    if isinstance(head, losses.NPair):  # which of a class's images are its pair follows their order
        rows = torch.arange(N)
    torch.testing.assert_close(head(x[rows], torch.argsort(order)[y][rows]), before)


@pytest.mark.parametrize("kind", ["one sample", "one class", "copies", "zeros"])
def test_degenerate_batches_have_finite_gradients(head, kind):
    x, y = batch()
    x, y = {
        "one sample": (x[:1], y[:1]),
        "one class": (x[y == y[0]], y[y == y[0]]),
        "copies": (x[:1].repeat(N, 1), y),
        "zeros": (0 * x, y),
    }[kind]
    loss = head(x.requires_grad_(), y)
    loss.backward()
    assert torch.isfinite(loss)
    for weight in (x, *head.parameters()):
        assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_fewest_classes_and_dimensions(head, samples):
    fewest = 3 if isinstance(head, losses.AdaCos) else 2
    small = type(head)(fewest, 2)
    x = torch.randn(samples, 2, generator=torch.Generator().manual_seed(6)).requires_grad_()
    loss = small(x, torch.arange(samples) % 2)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all()
    for weight in small.parameters():
        assert torch.isfinite(weight.grad).all()


def test_state_is_saved_and_restored(head):
    x, y = batch()
    head(x, y)
    other = losses.create(name_of(head), C, D)
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


def test_centres_learn_from_their_initial_state(centre_head):
    """200 steps on separable data turn the mean centre by more than 20 degrees and classify everything."""
    head = centre_head
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
        ("contrastive", {"margin": 2.1}, r"loss\.margin"),
        ("triplet", {"margin": -0.1}, r"loss\.margin"),
        ("npair", {"norm_weight": -1}, r"loss\.norm_weight"),
        ("sphereface", {"power": -1}, r"loss\.power"),
        ("lsoftmax", {"margin": 9}, r"loss\.margin"),
        ("lsoftmax", {"first_lambda": -1}, r"loss\.first_lambda"),
        ("lsoftmax", {"decay": -1}, r"loss\.decay"),
        ("sphereface-r", {"margin": 0.9}, r"loss\.margin"),
        ("sphereface-r", {"version": "v3"}, r"loss\.version: 'v3' is not known; choose from v1, v2"),
        ("sphereface2", {"scale": 501.0}, r"loss\.scale"),
        ("sphereface2", {"margin": 1.1}, r"loss\.margin"),
        ("sphereface2", {"exponent": 0.5}, r"loss\.exponent"),
        ("sphereface2", {"target_weight": 1.0}, r"loss\.target_weight"),
        ("sphereface2", {"gain": 0.0}, r"loss\.gain"),
        ("combined-margin", {"angle_factor": 0.0}, r"loss\.angle_factor"),
        ("combined-margin", {"angle_margin": 1.6}, r"loss\.angle_margin"),
        ("combined-margin", {"cosine_margin": -0.1}, r"loss\.cosine_margin"),
        ("subcentre-arcface", {"subcentres": 1}, r"loss\.subcentres"),
        ("focal", {"gamma": -0.5}, r"loss\.gamma"),
        ("circle", {"margin": 1.5}, r"loss\.margin"),
        ("mv-am-softmax", {"margin": -0.1}, r"loss\.margin"),
        ("mv-arc-softmax", {"margin": 1.6}, r"loss\.margin"),
        ("mv-arc-softmax", {"emphasis": -0.1}, r"loss\.emphasis"),
        ("curricularface", {"momentum": 1.1}, r"loss\.momentum"),
        ("unpg", {"whisker": -1}, r"loss\.whisker"),
        ("adaptiveface", {"margin": 1.1}, r"loss\.margin"),
        ("adaptiveface", {"margin_weight": -1}, r"loss\.margin_weight"),
        ("ldam", {"max_margin": -0.1}, r"loss\.max_margin"),
        ("magface", {"least_margin": 0.9}, r"loss\.least_margin"),
        ("magface", {"largest_margin": 1.6}, r"loss\.largest_margin"),
        ("magface", {"least_norm": 0.0}, r"loss\.least_norm"),
        ("magface", {"largest_norm": 10.0}, r"loss\.largest_norm: 10.0 must be above loss.least_norm"),
        ("magface", {"norm_weight": -1}, r"loss\.norm_weight"),
        ("adaface", {"margin": 1.6}, r"loss\.margin"),
        ("adaface", {"concentration": -1}, r"loss\.concentration"),
        ("adaface", {"momentum": -0.1}, r"loss\.momentum"),
        ("uniface", {"margin": 2.1}, r"loss\.margin"),
        ("uniface", {"rival_weight": 0.0}, r"loss\.rival_weight"),
    ],
)
def test_settings_out_of_range_name_the_field(name, options, words):
    with pytest.raises(UserError, match=words):
        losses.create(name, C, D, **options)
