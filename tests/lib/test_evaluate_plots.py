"""Numbers and pictures of trained models, on the embedded digits."""

import dataclasses

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

from dgm import data, evaluate, labels, models, plots

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", device="cpu")


@pytest.fixture(scope="module")
def pca(digits):
    return models.PCA(digits.shape, latent=2).fit(digits.train.images)


def test_reconstruction_error_does_not_depend_on_the_batch_size(digits, pca):
    x = digits.test.images
    whole = evaluate.reconstruction_error(pca, x, batch_size=len(x))
    assert evaluate.reconstruction_error(pca, x, batch_size=7) == pytest.approx(whole, rel=1e-5)
    by_hand = ((x - pca(x)) ** 2).sum((1, 2, 3)).mean()
    assert whole == pytest.approx(float(by_hand), rel=1e-5)


def test_encode_takes_autoencoders_and_latent_variable_models(digits, pca):
    class Posterior:
        def posterior(self, x):
            return torch.distributions.Normal(pca.encode(x), 1.0)

    codes = evaluate.encode(pca, digits.test.images, batch_size=50)
    torch.testing.assert_close(codes, evaluate.encode(Posterior(), digits.test.images))


def test_nearest_distance_agrees_with_scikit_learn(digits):
    from sklearn.neighbors import NearestNeighbors

    x, points = digits.test.images, digits.train.images
    theirs = NearestNeighbors(n_neighbors=1).fit(points.flatten(1)).kneighbors(x.flatten(1))[0]
    ours = evaluate.nearest_distance(x, points, chunk=77)
    torch.testing.assert_close(ours, torch.as_tensor(theirs[:, 0], dtype=torch.float32))
    assert evaluate.nearest_distance(points[:5], points).max() == 0
    with pytest.raises(ValueError, match="queries, points: got shapes"):
        evaluate.nearest_distance(x, points[:, :, :4])


def test_classifiers_on_codes(digits):
    """Ten components keep the digits apart; two keep less; a constant code keeps nothing."""
    ten = models.PCA(digits.shape, latent=10).fit(digits.train.images)
    two = models.PCA(digits.shape, latent=2).fit(digits.train.images)
    for accuracy in (evaluate.linear_probe, evaluate.knn):
        assert accuracy(ten, digits) > 0.85
        assert 0.4 < accuracy(two, digits) < 0.8
    with pytest.raises(ValueError, match="k: got 0"):
        evaluate.knn(ten, digits, k=0)


def test_grid_puts_images_in_reading_order():
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 2, 2) / 10
    picture = plots.grid(images, columns=3).images[0].get_array()
    assert picture[1, 1] == pytest.approx(0.0)
    assert picture[1, 4] == pytest.approx(0.1)
    assert picture[4, 1] == pytest.approx(0.3)


def test_manifold_puts_the_code_where_the_axes_say():
    """A decoder that paints z_1 into its pixel: brightness rises to the right only."""
    corners = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    horizontal = plots.manifold(lambda z: z[:, 0].reshape(-1, 1, 1, 1), side=3, box=corners)
    vertical = plots.manifold(lambda z: z[:, 1].reshape(-1, 1, 1, 1), side=3, box=corners)
    across = torch.tensor([[0, 0.5, 1]] * 3)
    torch.testing.assert_close(torch.as_tensor(horizontal.images[0].get_array()), across)
    up = across.T.flip(0)  # row 0 is the top of the picture, the largest z_2
    torch.testing.assert_close(torch.as_tensor(vertical.images[0].get_array()), up)


def test_manifold_without_a_box_is_even_in_probability():
    seen = []
    plots.manifold(lambda z: seen.append(z) or torch.zeros(len(z), 1, 1, 1), side=5)
    u = torch.distributions.Normal(0, 1).cdf(seen[0][:5, 0])
    torch.testing.assert_close(u, torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))


def test_interpolation_is_a_straight_line():
    seen = []
    decode = lambda z: seen.append(z) or torch.zeros(len(z), 1, 2, 2)  # noqa: E731
    plots.interpolation(decode, torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0]), steps=5)
    torch.testing.assert_close(seen[0][:, 0], torch.tensor([0.0, 1, 2, 3, 4]))
    torch.testing.assert_close(seen[0][:, 1], torch.tensor([2.0, 1.5, 1, 0.5, 0]))


def test_views_of_codes(digits, pca):
    codes, y = pca.encode(digits.test.images), digits.test.y
    scatter = plots.latent_scatter(codes, y, digits.classes)
    assert len(scatter.collections) == 10
    bars = plots.stacked_histograms(codes, y, digits.classes, bins=20)
    assert sum(p.get_height() for p in bars[0].patches) > 0
    assert len(bars) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.grid(torch.zeros(3, 8, 8)), "images: got shape"),
        (lambda: plots.grid(torch.zeros(0, 1, 8, 8)), "images: got shape"),
        (lambda: plots.latent_scatter(torch.zeros(5, 3), torch.zeros(5)), "codes: got shape"),
    ],
)
def test_bad_shapes_are_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# ---------------------------------------------------------------- labels, conditions, layers


def with_hidden(whole, n, seed=0):
    """The data set with all but n labels of each half hidden."""
    train, test = (labels.few(half, n, seed) for half in (whole.train, whole.test))
    return dataclasses.replace(whole, train=train, test=test)


def test_probes_learn_from_the_labelled_alone(digits, pca):
    """y = -1 is no class: hiding labels is the same as leaving their examples out."""
    hidden = with_hidden(digits, 100)
    alone = dataclasses.replace(
        digits, train=labels.known(hidden.train), test=labels.known(hidden.test)
    )
    for probe in (evaluate.linear_probe, evaluate.knn):
        assert probe(pca, hidden) == probe(pca, alone) > 0.3
    trained = [evaluate.train_classifier(d, updates=3) for d in (hidden, alone)]
    for a, b in zip(*(model.parameters() for model in trained), strict=True):
        assert torch.equal(a, b)


def test_probes_without_a_label(digits, pca):
    nothing = dataclasses.replace(
        digits, train=data.Split(digits.train.x, digits.train.y * 0 - 1, 17)
    )
    for ask in (
        lambda: evaluate.linear_probe(pca, nothing),
        lambda: evaluate.knn(pca, nothing),
        lambda: evaluate.train_classifier(nothing, updates=3),
        lambda: labels.few(nothing.train, 10),
    ):
        with pytest.raises(ValueError, match="split: every label is -1"):
            ask()
    with pytest.raises(ValueError, match="k: got 101, expected at most 100"):
        evaluate.knn(pca, with_hidden(digits, 100), k=101)


def test_a_mean_log_prob_given_labels():
    model = models.MADE((1, 3, 3), hidden=(4,), classes=3)
    x, y = torch.rand(7, 1, 3, 3).round(), torch.arange(7) % 3
    with torch.no_grad():
        values = model.log_prob(x, y)
    mean, error = evaluate.mean_log_prob(model, x, y, batch_size=2)
    assert mean == pytest.approx(values.mean().item(), rel=1e-6)
    assert error == pytest.approx(values.std().item() / 7**0.5, rel=1e-5)


def test_codes_of_two_layers_are_their_means_layer_by_layer():
    """The first layer's mean is exact; the second's is held against many draws of the chain."""
    torch.manual_seed(0)
    model = models.VAE.two_layer((1, 3, 3), latent=(3, 2), hidden=((8,), (8,)))
    x = torch.rand(5, 1, 3, 3).round()
    q = model.posterior(x)
    codes = evaluate.encode(model, x, batch_size=2)  # (5, 5)
    torch.testing.assert_close(codes[:, :3], q.first.mean)
    draws = q.sample((20_000,))[..., 3:]  # (draws, 5, 2)
    spread = q.second(q.first.sample((1000,))).mean.std(0)  # of the mean of 100 such draws
    error = (spread**2 / 100 + draws.var(0) / 20_000).sqrt()
    assert ((codes[:, 3:] - draws.mean(0)).abs() < 4.5 * error).all()


def test_active_units_of_two_layers():
    """A second layer that ignores the first has no active unit."""
    torch.manual_seed(0)
    model = models.VAE.two_layer((1, 3, 3), latent=(3, 2), hidden=((8,), (8,)))
    first, second = model.encoder.first[1], model.encoder.second[1]
    first.parameters_of[0].weight.data.mul_(20)
    second.parameters_of[0].weight.data.zero_()
    x = torch.rand(50, 1, 3, 3).round()
    assert evaluate.active_units(model, x).tolist() == [True] * 3 + [False] * 2


def test_what_has_no_codes_is_not_encoded():
    x = torch.rand(3, 1, 3, 3).round()
    for model in (models.MADE((1, 3, 3)), models.RBM((1, 3, 3)), torch.nn.Identity()):
        with pytest.raises(ValueError, match="model: got .*, which has no codes"):
            evaluate.encode(model, x)
