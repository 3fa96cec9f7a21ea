"""The figures as widgets, and as self-contained HTML of the same state.

This module imports anywidget; the functions that make figures import it when they are called.
"""

import html
import math
from importlib import resources

import anywidget
import traitlets

from ._formats import data_uri, to_base64, to_json, to_webp

_FILES = resources.files(__package__)
JS = _FILES.joinpath("figures.js").read_text(encoding="utf-8")
CSS = _FILES.joinpath("figures.css").read_text(encoding="utf-8")
STILL = "A still picture of an interactive figure: it moves where JavaScript runs."


class Figure(anywidget.AnyWidget):
    """An interactive figure. Subclasses add the values that the reader moves.

    Traits tagged `page` are its state. The widget shares them with the kernel, the HTML carries
    them as JSON; the same JavaScript (figures.js) draws from either.
    """

    _esm = JS
    _css = CSS
    kind = traitlets.Unicode().tag(sync=True, page=True)  # which drawing in figures.js
    spec = traitlets.Dict().tag(sync=True, page=True)  # what it draws; it never changes
    caption = traitlets.Unicode().tag(sync=True)

    @classmethod
    def within(cls, limit: int, spec: dict, **traits) -> "Figure":
        """A figure of this spec, if its data take at most `limit` bytes in a page."""
        size = len(to_json(spec))
        if size > limit:
            raise ValueError(
                f"limit: the figure's data take {size:,} bytes in a page, more than {limit:,}; "
                "make less of it (a narrower decoder, fewer pictures) or raise the limit"
            )
        details = [*spec["details"], f"The figure's data take {size / 1000:.0f} kB in this page."]
        return cls(spec={**spec, "details": details}, **traits)

    def still(self) -> tuple[bytes, str]:
        """A WebP picture of the present state, and its alt text."""
        raise NotImplementedError

    def html(self) -> str:
        """The figure in its present state, as HTML that needs nothing else."""
        picture, alt = self.still()
        state = to_json({name: getattr(self, name) for name in self.trait_names(page=True)})
        caption = f'<p class="dgm-caption">{html.escape(self.caption)}</p>' if self.caption else ""
        return (
            f'<div class="dgm-figure"><style>{CSS}</style>'
            f'<div class="dgm-still"><img src="{data_uri(picture)}" alt="{html.escape(alt)}">'
            f'<p>{STILL}</p></div><div class="dgm-live"></div>{caption}'
            f'<script type="application/json">{state}</script>'
            f'<script type="module">\n{JS}mount();\n</script></div>'
        )

    def _repr_mimebundle_(self, **kwargs):
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": self.html()}, metadata

    def __repr__(self) -> str:
        values = [f"{name}={getattr(self, name)}" for name in self.trait_names(value=True)]
        return f"{type(self).__name__}({', '.join(values)})"


class LatentPlane(Figure):
    """See `latent_plane`. `z` is the code whose image is shown."""

    z = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(sync=True, page=True, value=True)

    def __init__(self, draw_still, **traits):
        self._draw_still = draw_still  # z -> Pillow image
        super().__init__(kind="latent_plane", **traits)

    @traitlets.validate("z")
    def _stay_in_the_plane(self, proposal):
        low, side = self.spec["low"], self.spec["side"]
        if not all(map(math.isfinite, proposal.value)):
            raise traitlets.TraitError(f"z: got {proposal.value}, expected two finite numbers")
        return [min(max(v, a), a + side) for v, a in zip(proposal.value, low, strict=True)]

    def still(self):
        names = ", ".join(c["name"] for c in self.spec["classes"])
        alt = (
            f"Left, the codes of the training images in the latent plane, by class ({names}). "
            f"Right, the decoded image of the code z = ({self.z[0]:.2f}, {self.z[1]:.2f})."
        )
        return to_webp(self._draw_still(self.z), quality=80), alt


class Frames(Figure):
    """See `frames`. `values` are the parameters of the picture that is shown."""

    values = traitlets.Dict().tag(sync=True, page=True, value=True)
    picture = traitlets.Dict().tag(sync=True)  # made on demand: {values, image, alt}

    def __init__(self, pictures, make, **traits):
        self._pictures = pictures  # one (WebP, alt) per combination of stops, row by row
        self._make = make  # values -> (WebP, alt)
        super().__init__(kind="frames", **traits)
        self.observe(self._make_on_demand, "values")

    @traitlets.validate("values")
    def _know_the_names(self, proposal):
        names = [p["name"] for p in self.spec["parameters"]]
        if sorted(proposal.value) != sorted(names):
            raise traitlets.TraitError(f"values: got {proposal.value}, expected values of {names}")
        return {name: proposal.value[name] for name in names}

    def _index(self) -> int | None:
        """Where the present picture is among those made beforehand, if it is."""
        index = 0
        for parameter in self.spec["parameters"]:
            stops, value = parameter["stops"], self.values[parameter["name"]]
            if value not in stops:
                return None
            index = index * len(stops) + stops.index(value)
        return index

    def _make_on_demand(self, _change):
        if self._index() is None:
            image, alt = self._make(self.values)
            self.picture = {"values": self.values, "image": to_base64(image), "alt": alt}

    def still(self):
        index = self._index()
        return self._make(self.values) if index is None else self._pictures[index]


class Distribution1d(Figure):
    """See `distribution_1d`. `mean` and `scale` are those of q."""

    mean = traitlets.Float().tag(sync=True, page=True, value=True)
    scale = traitlets.Float().tag(sync=True, page=True, value=True)

    def __init__(self, bound, draw_still, **traits):
        self._bound = bound  # mean, scale -> Bound
        self._draw_still = draw_still  # Bound -> Pillow image
        super().__init__(kind="distribution_1d", **traits)

    @traitlets.validate("mean", "scale")
    def _stay_on_the_slider(self, proposal):
        low, high = self.spec[proposal.trait.name]
        if math.isnan(proposal.value):
            raise traitlets.TraitError(f"{proposal.trait.name}: got nan, expected a number")
        return min(max(proposal.value, low), high)

    @property
    def numbers(self) -> dict[str, float]:
        """The figure's sums for the present q, in nats, computed in Python."""
        bound = self._bound(self.mean, self.scale)
        names = ("elbo", "kl", "log_p", "reconstruction", "kl_prior")
        found = {name: getattr(bound, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def still(self):
        bound = self._bound(self.mean, self.scale)
        alt = (
            f"The posterior and q, and log p(x) as a sum: ELBO {bound.elbo:.2f} + "
            f"KL(q ‖ posterior) {bound.kl:.2f} = log p(x) {bound.log_p:.2f} nats."
        )
        if bound.kl_prior is not None:
            alt += (
                f" Reconstruction {bound.reconstruction:.2f} − KL(q ‖ prior) {bound.kl_prior:.2f} "
                f"= ELBO {bound.elbo:.2f} nats."
            )
        return to_webp(self._draw_still(bound), quality=80), alt


class Flow1d(Figure):
    """See `flow_1d`. `knots` are pairs of z and x, both increasing."""

    knots = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True, page=True, value=True)

    def __init__(self, check, measure, draw_still, **traits):
        self._check = check  # knots -> ValueError, if they do not increase
        self._measure, self._draw_still = measure, draw_still  # knots -> numbers, -> Pillow image
        super().__init__(kind="flow_1d", **traits)

    @traitlets.validate("knots")
    def _increase(self, proposal):
        try:
            self._check(proposal.value)
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error
        return proposal.value

    @property
    def numbers(self) -> dict[str, float]:
        """Mass, divergence from the target in nats, steepest slope, computed in Python."""
        return self._measure(self.knots)

    def still(self):
        n = self.numbers
        alt = (
            f"An increasing curve x = f(z) through {len(self.knots)} knots, the density of z below "
            f"it and that of x beside it, with a target of two modes. Total mass {n['mass']:.3f}, "
            f"steepest slope {n['steepest']:.1f}, KL to the target {n['kl']:.3f} nats."
        )
        return to_webp(self._draw_still(self.knots), quality=80), alt


class Walkers(Figure):
    """See `walkers`. `step` is eta, `noise` the factor of the noise."""

    step = traitlets.Float().tag(sync=True, page=True, value=True)
    noise = traitlets.Float().tag(sync=True, page=True, value=True)
    adjusted = traitlets.Bool().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of the spec, and the noise
        super().__init__(kind="walkers", **traits)

    @traitlets.validate("step", "noise")
    def _stay_on_the_slider(self, proposal):
        low, high = self.spec["steps"] if proposal.trait.name == "step" else (0.0, 2.0)
        if math.isnan(proposal.value):
            raise traitlets.TraitError(f"{proposal.trait.name}: got nan, expected a number")
        return min(max(proposal.value, low), high)

    @property
    def numbers(self) -> dict[str, float]:
        """The exact mean energy at this noise, computed in Python."""
        return self._measure(self.spec, self.noise)

    def still(self):
        alt = (
            f"A density in the plane and {len(self.spec['start'])} walkers where they start. Their "
            f"exact mean energy with noise {self.noise:g} is {self.numbers['energy']:.2f}."
        )
        return to_webp(self._draw_still(self.spec), quality=80), alt


class ScoreField(Figure):
    """See `score_field`. `sigma` is the noise level."""

    sigma = traitlets.Float().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of the spec and the noise level
        super().__init__(kind="score_field", **traits)

    @traitlets.validate("sigma")
    def _stay_on_the_slider(self, proposal):
        low, high = self.spec["sigmas"]
        if math.isnan(proposal.value):
            raise traitlets.TraitError("sigma: got nan, expected a number")
        return min(max(proposal.value, low), high)

    @property
    def numbers(self) -> dict[str, float]:
        """E |sigma s|^2 and what it lacks of 2, computed in Python."""
        return self._measure(self.spec, self.sigma)

    def still(self):
        n = self.numbers
        alt = (
            f"A density in the plane behind noise of standard deviation {self.sigma:.2f}, and "
            f"arrows along its score. Of the noise's 2, {n['told']:.2f} can be told."
        )
        return to_webp(self._draw_still(self.spec, self.sigma), quality=80), alt
