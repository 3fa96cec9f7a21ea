"""Quantisers against brute force and k-means; the VQ-VAE against sums over all codes and images."""

import itertools
import math
from functools import partial

import pytest
import torch
from sklearn.cluster import KMeans
from tests.standard_error import standard_errors_off
from torch import nn

from dgm import evaluate, heads
from dgm.estimators import exact, pass_gradient
from dgm.models import MADE, VAE, VQVAE, Codebook, FiniteScalar
from dgm.objectives import elbo, vq
from dgm.train import History, codebook_step, gradient_step, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("cpu")

IMAGES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()  # all of 4 pixels


def scattered(model, sd=1.0):
    with torch.no_grad():
        for p in model.parameters():
            p.add_(sd * torch.randn_like(p))
    return model.double()


def tiny(symbols=2, codes=3, **more):
    """A VQ-VAE of 4 pixels whose codes can all be summed out, no two of them alike."""
    quantiser = more.pop("quantiser", None) or Codebook(codes, 2)
    quantiser.vectors.data = torch.randn_like(quantiser.vectors)
    sd = more.pop("sd", 1.0)
    return scattered(VQVAE.mlp(4, symbols=symbols, quantiser=quantiser, hidden=5, **more), sd)


def every_code(model):
    symbols, codes = model.prior().event_shape
    every = itertools.product(range(codes), repeat=symbols)
    return torch.eye(codes).double()[torch.tensor(list(every))]  # (S, M, K)


def log_joint(model, x):
    """log p(x, k) of every code, by a loop: (S, N)."""
    rows = []
    for z in every_code(model):
        p_x = model.decoder(torch.stack([model.quantiser.vectors[row.argmax()] for row in z]))
        rows.append(p_x.log_prob(x) + model.prior().log_prob(z))
    return torch.stack(rows)


# ------------------------------------------------------------------ quantisers


def test_the_nearest_vector_is_the_one_at_the_least_distance():
    book, z = Codebook(8, 3).double(), torch.randn(500, 3).double()
    book.vectors = torch.randn(8, 3).double()
    e, k = book(z)
    distances = (z[:, None] - book.vectors).square().sum(-1)  # (N, K)
    assert torch.equal(k, distances.argmin(1))
    assert torch.equal(e, book.vectors[k])


def test_the_nearest_vector_is_the_same_in_a_step_of_bf16():
    book, z = Codebook(200, 3), torch.randn(500, 3)
    book.vectors = torch.randn(200, 3)
    product = z @ book.vectors.T
    with torch.autocast("cpu", torch.bfloat16):
        k = book.nearest(z)
        assert not torch.equal(z @ book.vectors.T, product)  # it does round
    assert torch.equal(k, book.nearest(z))


def test_far_from_the_origin_nothing_cancels():
    """|z|^2 + |e|^2 - 2 z e in float32 would lose the difference of squares around 300^2."""
    book, z = Codebook(8, 3), torch.randn(500, 3)
    book.vectors = torch.randn(8, 3) + 300
    far = z + 300
    distances = (far.double()[:, None] - book.vectors.double()).square().sum(2)
    assert torch.equal(book.nearest(far), distances.argmin(1))


@pytest.mark.parametrize("levels", [(2,), (3,), (8,), (5, 4), (2, 2, 3)])
def test_a_grid_is_its_nearest_point(levels):
    grid, z = FiniteScalar(levels).double(), 2 * torch.randn(400, len(levels)).double()
    u = grid.inside(z)
    assert torch.equal(grid.nearest(u), grid.squared_distances(u).argmin(1))
    assert grid.codes == math.prod(levels) == len(grid.vectors.unique(dim=0))
    far = torch.tensor([[-50.0], [50.0]]).double().expand(2, len(levels))
    ends = grid.nearest(grid.inside(far))
    assert ends.tolist() == [0, grid.codes - 1]  # tanh is 1 there, and there is no level beyond


def test_two_levels_make_the_number_of_the_bits():
    z = torch.randn(100, 6)
    expected = ((z > 0) * 2 ** torch.arange(6)).sum(1)
    assert torch.equal(FiniteScalar((2,) * 6).nearest(z), expected)


def test_without_memory_an_update_is_one_iteration_of_k_means():
    z, start = torch.randn(400, 2).double(), torch.randn(5, 2).double()
    book = Codebook(5, 2, decay=0.0, restart=0.0).double()
    book.vectors.copy_(start)
    book.update(z, book.nearest(z))
    fitted = KMeans(5, init=start.numpy(), n_init=1, max_iter=1, algorithm="lloyd").fit(z.numpy())
    torch.testing.assert_close(book.vectors, torch.tensor(fitted.cluster_centers_))


def test_updates_are_steps_towards_the_members():
    """Counts and sums by recursion; first plain means, until 1 / t is less than 1 - decay."""
    book = Codebook(3, 2, decay=0.75, restart=0.0).double()
    counts, e = torch.zeros(3).double(), book.vectors.clone()
    for t in range(1, 8):
        z = torch.randn(30, 2).double()
        k = book.nearest(z)
        book.update(z, k)
        rate = max(1 / t, 0.25)
        n = torch.bincount(k, minlength=3)
        counts = (1 - rate) * counts + rate * n
        for j in range(3):
            if n[j]:
                e[j] += rate * n[j] / counts[j] * (z[k == j].mean(0) - e[j])
        torch.testing.assert_close(book.vectors, e)
    shares = counts / counts.sum()
    expected = (-(shares * shares.log()).nansum()).exp()
    torch.testing.assert_close(book.perplexity(), expected)


def test_the_dead_start_again_at_points_of_the_batch_or_lie():
    z = torch.randn(50, 2)
    for restart in (0.1, 0.0):
        book = Codebook(40, 2, restart=restart)
        before = book.vectors.clone()
        k = book.nearest(z)
        book.update(z, k)
        dead = torch.bincount(k, minlength=40) == 0
        assert 10 < dead.sum() < 40
        at_points = (book.vectors[dead][:, None] == z).all(2).any(1)
        assert at_points.all() == (restart > 0)
        assert torch.equal(book.vectors[dead], before[dead]) == (restart == 0)
        started = book.vectors.clone()
        book.update(z[:9], k[:1].expand(9))  # no member for the others: they stay where they are
        others = torch.arange(40) != k[0]
        torch.testing.assert_close(book.vectors[others], started[others])
        assert (book.counts > 0).all() == (restart > 0)


def test_a_vector_that_is_nearest_to_nothing_has_no_gradient():
    model = tiny(quantiser=Codebook(40, 2, decay=None))
    vq(model, IMAGES).sum().backward()
    used = torch.zeros(40, dtype=torch.bool)
    used[model.codes(IMAGES).flatten()] = True
    assert torch.equal(model.quantiser.vectors.grad.abs().sum(1) > 0, used)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Codebook(0), "codes: got 0"),
        (lambda: Codebook(latent=2.5), "latent: got 2.5"),
        (lambda: Codebook(decay=1.0), "decay: got 1.0, expected at least 0 and less than 1"),
        (lambda: Codebook(restart=-1), "restart: got -1, expected members a batch"),
        (lambda: Codebook(decay=None).update(None, None), "decay: got None, expected a number"),
        (lambda: FiniteScalar((5, 1)), r"levels: got \(5, 1\), expected at least 2"),
        (lambda: FiniteScalar(()), r"levels: got \(\), expected at least 2"),
        (lambda: VQVAE.mlp(4, temperature=-1), "temperature: got -1, expected 0 or a positive"),
        (
            lambda: VQVAE.mlp(4).with_prior(MADE(3, 16)),
            r"model: got \(3,\) symbols of 16 l",
        ),
        (lambda: VQVAE.mlp(4).with_prior(MADE(2, 4)), r"of 4 levels, expected \(2,\) of 16"),
        (lambda: heads.Tokens(MADE((1, 2, 2), 4)), r"model: got events of shape \(1, 2, 2\)"),
        (lambda: codebook_step(VAE.mlp(4), elbo), "model: got a VAE with a NoneType that does not"),
        (
            lambda: codebook_step(VQVAE.mlp(4, quantiser=FiniteScalar()), vq),
            "with a FiniteScalar that does not follow by averages",
        ),
        (
            lambda: codebook_step(VQVAE.mlp(4), vq).distribute(lambda p: None),
            "distributed: got codebook_step",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------ the objective


def test_the_gradient_of_the_objective_by_its_formulas():
    """The encoder gets the decoder's at z_q, less 2 beta (z - e); a vector 2 (z - e) of each."""
    model = tiny(quantiser=Codebook(3, 2, decay=None))
    outputs = model.outputs(IMAGES).detach()
    z = outputs.clone().requires_grad_()
    model.outputs = lambda x: z
    value = vq(model, IMAGES, beta=0.3)
    value.sum().backward()

    e = model.quantiser.vectors.detach()[model.quantiser.nearest(outputs)].requires_grad_()
    log_p = model.decoder(e).log_prob(IMAGES)
    (slope,) = torch.autograd.grad(log_p.sum(), e)
    torch.testing.assert_close(z.grad, slope - 2 * 0.3 * (outputs - e))
    squares = (outputs - e).square().sum((1, 2))
    torch.testing.assert_close(value, log_p - 1.3 * squares)
    k, book = model.codes(IMAGES), torch.zeros(3, 2).double()
    for n, m in itertools.product(range(16), range(2)):
        book[k[n, m]] += 2 * (outputs - e)[n, m]
    torch.testing.assert_close(model.quantiser.vectors.grad, book)


def test_vectors_that_do_not_learn_have_no_term():
    for quantiser in (Codebook(9, 2), FiniteScalar((3, 3))):
        model = tiny(quantiser=quantiser)
        log_p = model.likelihood(model.posterior(IMAGES).mean).log_prob(IMAGES)
        torch.testing.assert_close(vq(model, IMAGES, beta=0.0), log_p)


def test_a_passed_gradient_has_the_value_of_the_one_and_the_slope_of_the_other():
    z = torch.randn(5).double().requires_grad_()
    e = pass_gradient(z.round(), z)
    assert torch.equal(e.detach(), z.detach() + (z.round() - z).detach())
    e.pow(3).sum().backward()
    torch.testing.assert_close(z.grad, 3 * e.detach() ** 2)


# ------------------------------------------------------------------ the model, all codes summed out


def test_the_model_is_normalised_and_its_sum_that_of_a_loop():
    model = tiny()
    found, joint = evaluate.sum_codes(model, IMAGES, chunk=4), log_joint(model, IMAGES)
    torch.testing.assert_close(found.log_prob.exp().sum(), torch.ones(()).double())
    torch.testing.assert_close(found.log_prob, joint.logsumexp(0))
    torch.testing.assert_close(found.best, joint.amax(0))
    assert torch.equal(found.code, every_code(model)[joint.argmax(0)])


def test_the_sum_of_other_likelihoods_and_of_codes_of_bits():
    three = partial(heads.Categorical, levels=3)
    model, x = tiny(likelihood=three), IMAGES / 2
    expected = log_joint(model, x).logsumexp(0)
    torch.testing.assert_close(evaluate.sum_codes(model, x).log_prob, expected)
    bits = scattered(VAE.mlp(4, latent=3, posterior=heads.Bernoulli, hidden=5))
    total = evaluate.sum_codes(bits, IMAGES).log_prob.exp().sum()
    torch.testing.assert_close(total, torch.ones(()).double())
    with pytest.raises(ValueError, match="model: has 65,?792|model: has 66564 codes"):
        evaluate.sum_codes(VQVAE.mlp(4, quantiser=Codebook(258)), IMAGES.float())


def test_a_point_mass_pays_m_log_k_and_loses_the_other_codes():
    """log p(x) - (log p(x | k(x)) - M log K) = -log p(k(x) | x)."""
    model = tiny()
    rate, distortion = evaluate.rate_distortion(model, IMAGES)
    assert rate == pytest.approx(2 * math.log(3))
    joint = log_joint(model, IMAGES)  # (S, N)
    own = (model.codes(IMAGES) * torch.tensor([3, 1])).sum(1)
    log_own = joint.gather(0, own[None])[0]
    posterior = joint.log_softmax(0).gather(0, own[None])[0]
    log_p = evaluate.sum_codes(model, IMAGES).log_prob
    torch.testing.assert_close(log_p - log_own, -posterior)
    assert -rate - distortion == pytest.approx(log_own.mean().item())
    torch.testing.assert_close(elbo(model, IMAGES, estimator=exact), log_own)


def test_a_softmax_of_codes_and_its_limit():
    model = tiny(temperature=0.7)
    q = model.posterior(IMAGES)
    z = every_code(model)[:, None]
    vectors = model.quantiser.vectors
    off = (model.outputs(IMAGES)[:, :, None] - vectors).square().sum(-1)  # (N, M, K)
    weights = (-off / 0.7).exp()
    weights = (weights / weights.sum(-1, keepdim=True) * z).sum(-1).prod(-1)  # (S, N)
    torch.testing.assert_close(q.log_prob(z).exp(), weights)
    bound = (weights * (log_joint(model, IMAGES) - weights.log())).sum(0)
    torch.testing.assert_close(elbo(model, IMAGES, estimator=exact), bound)
    model.temperature = 1e-6
    nearly = elbo(model, IMAGES, estimator=exact)
    model.temperature = 0.0
    torch.testing.assert_close(elbo(model, IMAGES, estimator=exact), nearly)


def test_a_learned_prior():
    """Another model of the same codes: the rate is -log p(k), the sum over codes is normalised."""
    model, prior = tiny(), scattered(MADE(2, levels=3, hidden=4))
    second = model.with_prior(prior)
    assert second.decoder is model.decoder and second.quantiser is model.quantiser
    k = model.codes(IMAGES)
    rate, distortion = evaluate.rate_distortion(second, IMAGES)
    assert rate == pytest.approx(-prior.log_prob(k).mean().item())
    assert distortion == pytest.approx(evaluate.rate_distortion(model, IMAGES)[1])
    found = evaluate.sum_codes(second, IMAGES)
    torch.testing.assert_close(found.log_prob, log_joint(second, IMAGES).logsumexp(0))
    torch.testing.assert_close(found.log_prob.exp().sum(), torch.ones(()).double())
    drawn = second.sample(4000)
    which = (drawn * torch.tensor([8, 4, 2, 1])).sum(1).long()  # IMAGES counts upwards
    hits = nn.functional.one_hot(which, 16).double()
    assert standard_errors_off(hits, found.log_prob.exp()) < 4.5


def test_a_search_finds_good_codes_and_a_bound():
    """On average over draws the weights are p(x): 4000 of one draw each; the best is no better."""
    model = tiny(symbols=3, sd=0.5).with_prior(scattered(MADE(3, levels=3, hidden=4), 0.5))
    whole = evaluate.sum_codes(model, IMAGES)
    found = evaluate.search_codes(model, IMAGES, draws=2000)
    assert (found.best <= whole.best + 1e-9).all()
    assert (found.best > whole.best - 1e-9).double().mean() > 0.5
    p_x = model.likelihood(found.code).log_prob(IMAGES) + model.prior().log_prob(found.code)
    torch.testing.assert_close(found.best, p_x)
    torch.testing.assert_close(found.log_prob, whole.log_prob, rtol=0, atol=0.15)
    one = IMAGES[:1].repeat(4000, 1)
    weights = evaluate.search_codes(model, one, draws=1).log_prob.exp()
    assert standard_errors_off(weights, whole.log_prob[0].exp()) < 4.5


def test_usage_counts_over_all_that_is_given():
    class Told:
        shape, quantiser = (1,), Codebook(8)

        def codes(self, x):
            return x.long()

    used = evaluate.usage(Told(), torch.tensor([[0.0], [1], [1], [5]]), batch_size=3)
    entropy = -(0.5 * math.log(0.25) + 0.5 * math.log(0.5))
    assert used.used == 3
    assert used.perplexity == pytest.approx(math.exp(entropy))


# ------------------------------------------------------------------ training


def test_the_codebook_follows_after_the_gradient():
    torch.manual_seed(1)
    model = tiny()
    step = codebook_step(model, vq)
    before = model.quantiser.vectors.clone()
    metrics = step((IMAGES,))
    assert list(metrics) == ["objective", "perplexity"]
    z = model.outputs(IMAGES).detach()
    k = (z[:, :, None] - before).square().sum(-1).argmin(-1)
    for j in k.unique():
        members = z[k == j]
        torch.testing.assert_close(model.quantiser.vectors[j], members.mean(0))


def test_a_run_that_is_saved_goes_on_with_its_codebook(tmp_path):
    """Restarts included: they draw from the random state that the checkpoint has."""

    def start():
        torch.manual_seed(2)
        book = Codebook(30, 2, decay=0.5, restart=1.0)
        return codebook_step(VQVAE.mlp(4, quantiser=book, hidden=5), vq, lr=1e-2)

    x = IMAGES.float()
    step, resumed = start(), start()
    for _ in range(3):
        step((x,))
    save_checkpoint(tmp_path / "run.pt", step, History())
    expected = [step((x,)) for _ in range(3)]
    load_checkpoint(tmp_path / "run.pt", resumed)
    again = [resumed((x,)) for _ in range(3)]
    assert again == expected
    books = step.model.quantiser.state_dict(), resumed.model.quantiser.state_dict()
    for name in books[0]:
        assert torch.equal(books[0][name], books[1][name]), name
    before = step.model.quantiser.vectors.clone()
    step.model.quantiser.update(torch.randn(9, 2), torch.zeros(9, dtype=torch.long))
    assert (step.model.quantiser.vectors != before).any(1).sum() > 1  # some started again


@pytest.mark.parametrize(
    ("quantiser", "step"),
    [
        (lambda: Codebook(8, 2), codebook_step),
        (lambda: Codebook(8, 2, decay=None), gradient_step),
        (lambda: FiniteScalar((3, 3)), gradient_step),
    ],
)
def test_every_quantiser_learns(quantiser, step):
    """Four kinds of images of 4 pixels: well below 4 log 2, which is all that no code can do."""
    torch.manual_seed(0)
    model = VQVAE.mlp(4, symbols=2, quantiser=quantiser(), hidden=20)
    x = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]]).repeat(8, 1)
    ascend = step(model, partial(vq, beta=0.1), lr=1e-2)
    for _ in range(150):
        ascend((x,))
    assert evaluate.rate_distortion(model, x)[1] < 0.5
