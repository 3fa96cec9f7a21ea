"""Every model, once: how it is built, what it promises, what trains it.

`EVERY` has a line for each class and each named constructor of `dgm.models`, and a second one,
"... given y", for those that can be built with or without classes. A new model gets its line here;
`tests/lib/test_model_contract.py` then holds it to what all models promise, and whoever else loops
over models (labels, sizes, data that are refused, compiled steps) has it too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch.distributions import Independent, Normal, constraints
from torch.distributions.constraints import Constraint

from dgm import heads, models, objectives, paths
from dgm.protocols import (
    Denoiser,
    Energy,
    Generative,
    LatentVariable,
    SemiSupervised,
    Tractable,
    given,
)

SHAPE, CLASSES = (1, 5, 5), 10  # not two classes: a label could pass for a pixel

LATENT = {Generative, LatentVariable}
TRACTABLE = {Generative, Tractable}
BINARY, REAL, UNIT = constraints.boolean, constraints.real, constraints.unit_interval


@dataclass(frozen=True)
class Entry:
    """One model.

    Attributes:
        make: builds it, from an event shape alone.
        sizes: all of its sizes, small.
        protocols: those of `dgm.protocols` that it satisfies, and no others.
        objective: what trains it, a function of (model, x, y=None).
        support: the values that data may have.
        conditional: whether it can be built with classes, and without.
        leading: whether events may have several leading dimensions, (..., *shape), in all methods.
        images: whether events are images, (channels, height, width), and no vectors.
    """

    make: Callable
    sizes: dict = field(default_factory=dict)
    protocols: set = field(default_factory=set)
    objective: Callable = objectives.elbo
    support: Constraint = BINARY
    conditional: bool = False
    leading: bool = False
    images: bool = False

    def build(self, shape=SHAPE, **more):
        """A small one."""
        return self.make(shape, **self.sizes | more)

    def data(self, n=6, shape=SHAPE, device="cpu"):
        """Events on the support, and labels if the model takes or predicts any: (x, y or None)."""
        generator, values = torch.Generator().manual_seed(0), torch.tensor([0.0, 0.5, 1.0])
        values = values[self.support.check(values)]
        x = values[torch.randint(len(values), (n, *shape), generator=generator)].to(device)
        classes = self.sizes.get("classes")
        return x, torch.arange(n, device=device) % classes if classes else None


def deviation(generator, x, y=None):
    """Something for a generator to maximise without a critic."""
    fake = generator.rsample(len(x), **given(generator, y))
    return -(fake - x).flatten(1).square().sum(1)


def logistic(critic, x, y=None):
    """Something for a critic to maximise without a generator: real is what is upright."""
    condition = given(critic, y)
    return objectives.critic_logistic(lambda x: critic(x, **condition), x, x.flip(-1) / 2)


def told_from_noise(energy, x, y=None):
    """The one objective that trains an energy's constant too."""
    origin = energy.weight.weight.new_zeros(energy.shape)
    noise = Independent(Normal(origin, torch.ones_like(origin), validate_args=False), origin.dim())
    return objectives.noise_contrastive(energy, x, noise=noise)


def of_networks(cls, sizes, **more):
    """The constructors of a class of networks: one for each architecture."""
    entry = partial(Entry, **more)
    return {
        f"{cls.__name__}.mlp": entry(cls.mlp, sizes | {"hidden": 4}),
        f"{cls.__name__}.conv": entry(cls.conv, sizes | {"width": 4}, images=True),
        f"{cls.__name__}.residual": entry(cls.residual, sizes | {"width": 4}, images=True),
    }


def sequence(cls, images=False, **sizes):
    """An autoregressive model of three levels."""
    return Entry(
        cls,
        {"levels": 3} | sizes,
        TRACTABLE,
        objectives.log_likelihood,
        heads.Levels(3),
        conditional=True,
        images=images,
    )


def mixture(make, support):
    protocols = TRACTABLE | LATENT | {Energy}
    sizes = {"components": 2}
    return Entry(make, sizes, protocols, objectives.log_likelihood, support, leading=True)


def ensemble(shape, orders=8, **more):
    return models.MADE(shape, **more).ensemble(orders)


def flow(make, sizes, **more):
    """A flow, which takes images from [0, 1]."""
    entry = Entry(make, sizes, TRACTABLE, objectives.log_likelihood, UNIT, conditional=True)
    return replace(entry, leading=True, **more)


def dequantised(shape, levels=3, **more):
    return models.Dequantised(models.Flow.coupling(shape, layers=2, hidden=4, **more), levels)


code, label = {"latent": 2}, {"classes": CLASSES}
autoencoder = {"objective": objectives.reconstruction, "support": REAL, "leading": True}
vae = {"protocols": LATENT}
pcvae = {
    "protocols": LATENT | {SemiSupervised},
    "objective": partial(objectives.prediction_constrained, consistency=1.0, labelled_share=0.5),
}
m2 = {
    "protocols": LATENT | {SemiSupervised},
    "objective": partial(objectives.m2, labelled_share=0.5),
}
generator = {
    "protocols": {Generative},
    "objective": deviation,
    "support": UNIT,
    "conditional": True,
}
energy = {"protocols": {Energy}, "objective": told_from_noise, "support": REAL, "leading": True}
diffusion = {
    "protocols": {Generative, Denoiser},
    "objective": objectives.denoising,
    "support": REAL,
    "conditional": True,
}
critic = {"objective": logistic, "support": REAL, "conditional": True, "leading": True}

EVERY = {
    "PCA": Entry(models.PCA, code, set(), objectives.reconstruction, REAL, leading=True),
    "PPCA": Entry(
        models.PPCA, code, TRACTABLE | LATENT, objectives.log_likelihood, REAL, leading=True
    ),
    "GaussianMixture": mixture(models.GaussianMixture, REAL),
    "GaussianMixture, diagonal": mixture(
        partial(models.GaussianMixture, covariance="diagonal"), REAL
    ),
    "GaussianMixture, spherical": mixture(
        partial(models.GaussianMixture, covariance="spherical"), REAL
    ),
    "BernoulliMixture": mixture(models.BernoulliMixture, BINARY),
    "RBM": Entry(
        models.RBM,
        {"hidden": 3},
        TRACTABLE | {Energy},
        objectives.contrastive_divergence,
        leading=True,
    ),
    "FVSBN": sequence(models.FVSBN),
    "NADE": sequence(models.NADE, hidden=4),
    "MADE": sequence(models.MADE, hidden=4),
    "MADE, any order": replace(
        sequence(models.MADE, hidden=4), objective=objectives.order_agnostic
    ),
    "MADE.ensemble": sequence(ensemble, hidden=4, orders=2),
    "LSTM": sequence(models.LSTM, hidden=4, layers=1),
    "Transformer": sequence(models.Transformer, width=4, layers=1, heads=2),
    "PixelCNN": sequence(models.PixelCNN, images=True, width=4, layers=1),
    "GatedPixelCNN": sequence(models.GatedPixelCNN, images=True, width=4, layers=2),
    "Flow.nice": flow(models.Flow.nice, {"layers": 2, "hidden": 4}),
    "Flow.coupling": flow(models.Flow.coupling, {"layers": 2, "hidden": 4}),
    "Flow.spline": flow(models.Flow.spline, {"layers": 2, "hidden": 4, "bins": 3}),
    "Flow.autoregressive": flow(models.Flow.autoregressive, {"layers": 2, "hidden": 4}),
    "Flow.conv": flow(models.Flow.conv, {"layers": 2, "width": 4, "bins": 3}, images=True),
    "Flow.glow": flow(models.Flow.glow, {"layers": 1, "width": 4}, images=True),
    "Dequantised": Entry(
        dequantised, {"levels": 3}, LATENT, support=heads.OnGrid(2), conditional=True, leading=True
    ),
    "Autoencoder.linear": Entry(models.Autoencoder.linear, code, **autoencoder),
    **of_networks(models.Autoencoder, code, **autoencoder),
    "VAE.linear": Entry(models.VAE.linear, code, **vae, support=REAL),
    "VAE.mlp, Normal": Entry(
        partial(models.VAE.mlp, likelihood=heads.Normal),
        code | {"hidden": 4},
        **vae,
        support=REAL,
    ),
    "VAE.two_layer": Entry(models.VAE.two_layer, {"latent": (3, 2), "hidden": (4, 3)}, **vae),
    **of_networks(models.VAE, code, **vae),
    **of_networks(models.ConditionalVAE, code | label, **vae),
    "ConditionalVAE.mlp, Normal": Entry(
        partial(models.ConditionalVAE.mlp, likelihood=heads.Normal),
        code | label | {"hidden": 4},
        **vae,
        support=REAL,
    ),
    **of_networks(models.M2, code | label, **m2),
    **of_networks(models.PCVAE, code | label, **pcvae),
    **of_networks(models.Generator, code, **generator),
    **of_networks(models.Critic, {}, **critic),
    **of_networks(models.EnergyNetwork, {}, **energy),
    "EnergyNetwork.fourier": Entry(
        models.EnergyNetwork.fourier, {"hidden": 4, "features": 2}, **energy
    ),
    "Diffusion.mlp": Entry(models.Diffusion.mlp, {"width": 4, "blocks": 1}, **diffusion),
    "Diffusion.mlp, flow matching": Entry(
        partial(models.Diffusion.mlp, path=paths.linear(), predict="velocity"),
        {"width": 4, "blocks": 1},
        **diffusion | {"objective": objectives.flow_matching},
    ),
    "Diffusion.conv": Entry(models.Diffusion.conv, {"width": 4}, **diffusion, images=True),
    "ScoreNetwork.mlp": Entry(
        models.ScoreNetwork.mlp,
        {"hidden": 4, "features": 2},
        objective=partial(objectives.annealed_score_matching, sigmas=(1.0, 0.1)),
        support=REAL,
    ),
    "ScoreNetwork.conv": Entry(
        models.ScoreNetwork.conv,
        {"width": 4},
        objective=partial(objectives.annealed_score_matching, sigmas=(1.0, 0.1)),
        support=REAL,
        images=True,
    ),
}
EVERY |= {
    f"{name} given y": replace(entry, sizes=entry.sizes | label)
    for name, entry in EVERY.items()
    if entry.conditional
}
