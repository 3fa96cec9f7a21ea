"""Models of data of which few carry a label: M1, M2 and the prediction-constrained VAE.

All three have `classify(x)` or `predict(x)`. They differ in where the label stands:

    M1       beside the model: a VAE of x alone, then a classifier of its codes
    M2       in the model, beside the code: p(y) p(z) p(x | y, z), with q(y | x) as the classifier
    PCVAE    behind the code: a VAE of x, whose code must also predict the label

A label is an integer from 0 on, and -1 where there is none.
"""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.distributions.constraints import Constraint

from .. import heads, nets
from ..architectures import Architecture
from ..checks import check_integers, check_shape, integer
from ._from_architecture import FromArchitecture
from .codes import encode
from .conditional import ConditionalVAE
from .vae import VAE


class M1:
    r"""A VAE learned without labels, then a classifier of its codes, learned from few.

    The classifier is one of scikit-learn's. With `draws=0` it learns from the posterior means, one
    code per image; otherwise from so many draws of $q_\phi(z \mid x)$ for each image, all with the
    image's label, so that it sees how sure the encoder is of each code. It predicts from the
    posterior mean in either case: the logit of a linear classifier there is the average of its
    logits at infinitely many draws.

    Args:
        vae: trained, of x alone; anything with a `posterior`.
        classifier: with scikit-learn's `fit` and `predict`; by default a logistic regression.
            `SVC()` makes it a support vector machine.
        draws: per labelled example; 0 for the posterior mean.

    Source: Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298, Semi-supervised Learning
    with Deep Generative Models, section 2.

    >>> import dgm
    >>> data = dgm.data.load("digits", device="cpu")
    >>> split = dgm.labels.few(data.train, 100)
    >>> m1 = M1(VAE.mlp(data.shape, latent=10)).fit(split.images, split.y)
    >>> m1.predict(data.test.images).shape
    torch.Size([360])
    """

    def __init__(self, vae: VAE, classifier=None, draws: int = 0):
        self.vae, self.draws = vae, integer("draws", draws, at_least=0)
        self.classifier = logistic_regression() if classifier is None else classifier

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor) -> "M1":
        """Fit the classifier to the labelled among the examples: (N, *shape), (N,).

        Raises:
            ValueError: no example has a label, or y are not integers, one for each example.
        """
        check_integers(y, x.shape[:1])
        x, y = x[y >= 0], y[y >= 0]
        if len(y) == 0:
            raise ValueError("y: every label is -1, expected at least one labelled example")
        if self.draws:
            z = self.vae.posterior(x).sample((self.draws,)).flatten(0, 1)  # (draws * N, latent)
            y = y.repeat(self.draws)
        else:
            z = encode(self.vae, x)  # (N, latent)
        self.classifier.fit(z.cpu().numpy(), y.cpu().numpy())
        return self

    def predict(self, x: Tensor) -> Tensor:
        """Labels: (N, *shape) -> (N,)."""
        z = encode(self.vae, x)
        return torch.as_tensor(self.classifier.predict(z.cpu().numpy()), device=x.device)


def logistic_regression(c: float = 1.0):
    """scikit-learn's; `c` is the inverse strength of its L2 penalty.

    Codes are not standardised: the prior has given them their scale, and the coordinates that the
    VAE does not use have means near 0, where they do no harm.
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, max_iter=1000)


class M2(FromArchitecture, nn.Module):
    r"""$p_\theta(x) = \sum_y p(y) \int p(z) \, p_\theta(x \mid y, z) \, dz$: a class and a style.

    The label is a latent variable that is sometimes observed. $p(y)$ is uniform. The approximate
    posterior is $q_\phi(y \mid x) \, q_\phi(z \mid x, y)$, and its first factor is the classifier.
    Training maximises `dgm.objectives.m2`.

    With the label it is p(x | y), a model with `classes`: prior, posterior and likelihood take y,
    all of them known. Where labels are missing, `objectives.m2` sums them out, and `sample` draws
    them.

    **M1+M2** is an M2 of codes, `M2.mlp((latent,), likelihood=heads.Normal)`, in the place of
    images: `m2(model, vae.posterior(x).sample(), y)`, with a trained `vae`; `fit` is given batches
    of such codes.

    Args:
        vae: p(z), p(x | y, z) and q(z | x, y).
        classifier: maps x, (B, *shape), to q(y | x), a Categorical over the labels.

    Equation: def-m2

    Source: Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298, section 2.

    >>> model = M2.mlp((1, 8, 8))
    >>> model.classify(torch.zeros(5, 1, 8, 8)).probs.shape, model.sample(3).shape
    (torch.Size([5, 10]), torch.Size([3, 1, 8, 8]))
    >>> model.sample(2, y=torch.tensor([7, 7])).shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(self, vae: ConditionalVAE, classifier: nn.Module):
        super().__init__()
        self.vae, self.classifier = vae, classifier
        self.classes = self.predicted_classes = vae.classes
        self.register_buffer("prior_logits", torch.zeros(vae.classes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The event shape."""
        return self.vae.shape

    @property
    def support(self) -> Constraint:
        """Where data lie: the support of p(x | y, z)."""
        return self.vae.support

    def prior_y(self) -> Categorical:
        """p(y), uniform over the labels."""
        return Categorical(logits=self.prior_logits, validate_args=False)

    def prior(self, y: Tensor) -> Distribution:
        """p(z): labels (B,) -> batch shape (B,), event shape (latent,)."""
        return self.vae.prior(y)

    def posterior(self, x: Tensor, y: Tensor) -> Distribution:
        """q(z | x, y): (B, *shape), labels (B,) -> batch shape (B,), event shape (latent,)."""
        return self.vae.posterior(x, y)

    def likelihood(self, z: Tensor, y: Tensor) -> Distribution:
        """p(x | y, z): (..., B, latent), labels (B,) -> batch shape (..., B), event `shape`."""
        return self.vae.likelihood(z, y)

    def classify(self, x: Tensor) -> Categorical:
        """q(y | x): (B, *shape) -> batch shape (B,)."""
        check_shape(x, self.shape)
        return self.classifier(x)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw y, unless there are labels (n,), then z, then x: (n, *shape)."""
        n = integer("n", n)
        return self.vae.sample(n, self.prior_y().sample((n,)) if y is None else y)

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int | Sequence[int] = 2,
        classes: int = 10,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        """`ConditionalVAE.of`, and a classifier with an encoder of the same architecture.

        Args:
            architecture, shape, latent, classes, posterior, likelihood: as in `ConditionalVAE.of`.
        """
        parts = {"latent": latent, "posterior": posterior, "likelihood": likelihood}
        vae = ConditionalVAE.of(architecture, shape, classes=classes, **parts)
        return cls(vae, classifier_of(architecture.encoder(vae.shape), vae.classes))


class PCVAE(FromArchitecture, nn.Module):
    r"""The prediction-constrained VAE: its code must predict the label, $p_w(y \mid z)$.

    Labels enter neither encoder nor decoder. The predictor is linear, a logistic regression on
    codes that is learned with the rest: it is the code that has to make the classes separable.
    Training maximises `dgm.objectives.prediction_constrained`.

    As a generative model it takes no label, hence `classes` is 0, as a VAE's; how many classes the
    predictor tells apart is `predicted_classes`.

    Args:
        vae: p(z), p(x | z) and q(z | x), without labels.
        predictor: maps z, (..., latent), to a Categorical over the labels.
        classes: how many labels the predictor tells apart.

    Source: Hope, Abdrakhmanova, Chen, Hughes and Sudderth (2020), arXiv:2012.06718, Learning
    Consistent Deep Generative Models from Sparse Data via Prediction Constraints.

    >>> model = PCVAE.mlp((1, 8, 8))
    >>> model.classify(torch.zeros(5, 1, 8, 8)).probs.shape, model.sample(3).shape
    (torch.Size([5, 10]), torch.Size([3, 1, 8, 8]))
    """

    classes = 0

    def __init__(self, vae: VAE, predictor: nn.Module, classes: int = 10):
        super().__init__()
        self.vae, self.predictor = vae, predictor
        self.predicted_classes = integer("classes", classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The event shape."""
        return self.vae.shape

    @property
    def support(self) -> Constraint:
        """Where data lie: the support of p(x | z)."""
        return self.vae.support

    def prior(self) -> Distribution:
        """p(z), event shape (latent,)."""
        return self.vae.prior()

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x): (B, *shape) -> batch shape (B,), event shape (latent,)."""
        return self.vae.posterior(x)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z): (..., latent) -> batch shape (...), event shape `shape`."""
        return self.vae.likelihood(z)

    def sample(self, n: int) -> Tensor:
        """Draw z from the prior, then x given z: (n, *shape)."""
        return self.vae.sample(n)

    def classify(self, x: Tensor) -> Categorical:
        """p(y | z) at the mean z of q(z | x): (B, *shape) -> batch shape (B,)."""
        return self.predictor(self.posterior(x).mean)

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int = 2,
        classes: int = 10,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        """`VAE.of`, and a linear predictor of the label.

        Args:
            architecture, shape, posterior, likelihood: as in `VAE.of`.
            latent: size of a code.
            classes: number of classes.
        """
        parts = {"latent": integer("latent", latent), "posterior": posterior}
        vae = VAE.of(architecture, shape, likelihood=likelihood, **parts)
        return cls(vae, SoftmaxRegression(parts["latent"], classes), classes)


class SoftmaxRegression(nn.Module):
    """A distribution over the labels 0, ..., classes - 1, with logits affine in the features.

    Shapes: (..., features) -> batch shape (...), event shape ().
    """

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.logits = nn.Linear(integer("features", features), integer("classes", classes))

    def forward(self, features: Tensor) -> Categorical:
        return Categorical(logits=self.logits(features), validate_args=False)


def classifier_of(features: nets.Features, classes: int) -> nn.Module:
    """A feature network and softmax regression on top: x -> p(y | x)."""
    return nn.Sequential(features, SoftmaxRegression(features.out_features, classes))
