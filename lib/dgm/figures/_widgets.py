"""The figures as widgets, and as self-contained HTML of the same state.

This module imports anywidget; the functions that make figures import it when they are called.
"""

import html
import math
import re
from importlib import resources

import anywidget
import traitlets

from ._formats import data_uri, to_base64, to_json, to_webp

_FILES = resources.files(__package__)
_SCRIPT = _FILES.joinpath("figures.js").read_text(encoding="utf-8")
JS = re.sub(r"^ *//.*\n", "", _SCRIPT, flags=re.MULTILINE)  # a page need not carry the comments
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


def _in_square(name: str, point: list[float], spec: dict) -> list[float]:
    """A point of the picture, moved to its nearest edge if it lies beyond."""
    if not all(map(math.isfinite, point)):
        raise traitlets.TraitError(f"{name}: got {point}, expected two finite numbers")
    return [min(max(v, a), a + spec["side"]) for v, a in zip(point, spec["low"], strict=True)]


def _within(name: str, value: float, low: float, high: float) -> float:
    """A value of a slider, moved to its nearer end if it lies beyond."""
    if math.isnan(value):
        raise traitlets.TraitError(f"{name}: got nan, expected a number")
    return min(max(value, low), high)


def _one_of(name: str, value: str, known: list[str]) -> str:
    """A value of a choice, if it is among them."""
    if value not in known:
        raise traitlets.TraitError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    return value


class LatentPlane(Figure):
    """See `latent_plane`. `z` is the code whose image is shown."""

    z = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(sync=True, page=True, value=True)

    def __init__(self, draw_still, **traits):
        self._draw_still = draw_still  # z -> Pillow image
        super().__init__(kind="latent_plane", **traits)

    @traitlets.validate("z")
    def _stay_in_the_plane(self, proposal):
        return _in_square("z", proposal.value, self.spec)

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


class Drawing(Figure):
    """Images that a network draws in the page. `y` is the class, `seed` that of the noise."""

    y = traitlets.Int().tag(sync=True, page=True, value=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)
    steps = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, draw, draw_still, **traits):
        self._draw = draw  # y, seed, steps, ... -> [(t, x_t, x̂), ...]
        self._draw_still = draw_still  # such ways by their names -> Pillow image
        super().__init__(**traits)

    @traitlets.validate("y", "steps")
    def _stay_on_the_slider(self, proposal):
        ends = {"steps": self.spec["steps"], "y": [0, max(len(self.spec["classes"]) - 1, 0)]}
        return _within(proposal.trait.name, proposal.value, *ends[proposal.trait.name])

    def _of_class(self) -> str:
        names = self.spec["classes"]
        return f" of the class {names[self.y]}" if names else ""


class FromNoise(Drawing):
    """See `from_noise`. `eta` is the share of new noise, `w` guidance."""

    eta = traitlets.Float().tag(sync=True, page=True, value=True)
    w = traitlets.Float().tag(sync=True, page=True, value=True)

    def __init__(self, **traits):
        super().__init__(kind="from_noise", **traits)

    @traitlets.validate("eta", "w")
    def _stay_on_their_sliders(self, proposal):
        high = 1.0 if proposal.trait.name == "eta" else 8.0 if self.spec["classes"] else 0.0
        return _within(proposal.trait.name, proposal.value, 0.0, high)

    @property
    def images(self):
        """What the page draws, computed in Python: (1, C, H, W)."""
        return self._way()[-1][1]

    def _way(self):
        return self._draw(self.y, self.seed, self.steps, self.eta, self.w)

    def still(self):
        way = self._way()
        alt = (
            f"An image{self._of_class()} from noise in {self.steps} steps: above x_t from noise to "
            "data, below what the network sees in it."
        )
        return to_webp(self._draw_still({"$x_t$": way, r"$\hat x$": way}, (1, 2)), quality=80), alt


class EulerSteps(Drawing):
    """See `euler_steps`. `steps` are Euler's."""

    def __init__(self, **traits):
        super().__init__(kind="euler_steps", **traits)

    @property
    def numbers(self) -> dict[str, float]:
        """How far the end is from that of the most steps, computed in Python."""
        return {"off": _off(*self._ways())}

    def _ways(self) -> list[list]:
        """Those of the steps asked for, and of the most."""
        return [self._draw(self.y, self.seed, n) for n in (self.steps, self.spec["steps"][1])]

    def still(self):
        few, many = self._ways()
        most = self.spec["steps"][1]
        rows = {f"{self.steps} steps": few, r"$\hat x$": few, f"{most} steps": many}
        alt = (
            f"An image{self._of_class()} from noise in {self.steps} of Euler's steps: x_t, what "
            f"the network sees in it, and x_t in {most} steps. The ends differ by "
            f"{_off(few, many):.2f}."
        )
        return to_webp(self._draw_still(rows, (1, 2, 1)), quality=80), alt


def _off(few: list, many: list) -> float:
    """The root of the mean squared difference of two ways' ends."""
    return (few[-1][1] - many[-1][1]).square().mean().sqrt().item()


class PerfectNetwork(Figure):
    """See `ideal_denoiser`. `log_snr` is lambda, `seed` that of the noise."""

    log_snr = traitlets.Float().tag(sync=True, page=True, value=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of seed and log_snr
        super().__init__(kind="ideal_denoiser", **traits)

    @traitlets.validate("log_snr")
    def _stay_on_the_slider(self, proposal):
        levels = self.spec["levels"]
        return _within("log_snr", proposal.value, levels[0], levels[-1])

    @property
    def numbers(self) -> dict[str, float]:
        """The largest weight and how many images count, computed in Python."""
        return self._measure(self.seed, self.log_snr)

    def still(self):
        n = self.numbers
        alt = (
            f"A noisy image at log SNR {self.log_snr:.2g}, the mean of the training images given "
            f"it, and the {self.spec['heaviest']} that count most; the first has the weight "
            f"{n['heaviest']:.2f}."
        )
        return to_webp(self._draw_still(self.seed, self.log_snr), quality=80), alt


class Particles(Figure):
    """See `particles`. `t` is the time that is shown."""

    eta = traitlets.Float().tag(sync=True, page=True, value=True)
    steps = traitlets.Int().tag(sync=True, page=True, value=True)
    t = traitlets.Float().tag(sync=True, page=True, value=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of steps, eta and seed
        super().__init__(kind="particles", **traits)

    @traitlets.validate("eta", "t", "steps")
    def _stay_on_the_slider(self, proposal):
        name = proposal.trait.name
        ends = self.spec["steps"] if name == "steps" else (0.0, 1.0)
        return _within(name, proposal.value, *ends)

    @property
    def numbers(self) -> dict[str, float]:
        """Mean energies at time 0 in nats, computed in Python."""
        return self._measure(self.steps, self.eta, self.seed)

    def still(self):
        n = self.numbers
        found = f"Their mean energy is {n['energy']:.2f} at the end, the exact one {n['exact']:.2f}"
        if "learned" in n:
            found += f", that of the network's particles below {n['learned']:.2f}"
        alt = (
            f"{self.spec['n']} particles on their way from noise to data in {self.steps} steps, "
            f"in front of the density at the time. {found}."
        )
        return to_webp(self._draw_still(self.steps, self.eta, self.seed), quality=80), alt


class Guidance(Figure):
    """See `guidance`. `w` is its strength."""

    w = traitlets.Float().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of w
        super().__init__(kind="guidance", **traits)

    @traitlets.validate("w")
    def _stay_on_the_slider(self, proposal):
        return _within("w", proposal.value, 0.0, self.spec["most"])

    @property
    def numbers(self) -> dict[str, float]:
        """Total variation and means, computed in Python."""
        return self._measure(self.w)

    def still(self):
        n = self.numbers
        alt = (
            f"Three densities on the line at w = {self.w:g}: of the class, the tilted one with the "
            f"mean {n['mean_tilted']:.2f}, and what the ODE draws with the mean "
            f"{n['mean_ode']:.2f}. Total variation between the last two: {n['tv']:.2f}."
        )
        return to_webp(self._draw_still(self.w), quality=80), alt


class Balls(Figure):
    """See `balls`. `outlier` is the point that is moved, `around` says whose balls are drawn."""

    k = traitlets.Int().tag(sync=True, page=True, value=True)
    outlier = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(
        sync=True, page=True, value=True
    )
    around = traitlets.Unicode().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of k and outlier; and around
        super().__init__(kind="balls", **traits)

    @traitlets.validate("outlier")
    def _stay_in_the_plane(self, proposal):
        return _in_square("outlier", proposal.value, self.spec)

    @traitlets.validate("k")
    def _stay_on_the_slider(self, proposal):
        return _within("k", proposal.value, 1, self.spec["most"])

    @traitlets.validate("around")
    def _know_the_choice(self, proposal):
        return _one_of("around", proposal.value, ["outlier", "real", "generated", "none"])

    @property
    def numbers(self) -> dict[str, float]:
        """Precision, recall, density and coverage, computed in Python."""
        return self._measure(self.k, self.outlier)

    def still(self):
        n = self.numbers
        real, fake = (len(self.spec[name]) for name in ("real", "fake"))
        alt = (
            f"{real} real points and an outlier at ({self.outlier[0]:.2f}, {self.outlier[1]:.2f}), "
            f"{fake} samples, and balls to the neighbour number {self.k}. Precision "
            f"{n['precision']:.2f}, recall {n['recall']:.2f}, density {n['density']:.2f}, coverage "
            f"{n['coverage']:.2f}."
        )
        return to_webp(self._draw_still(self.k, self.outlier, self.around), quality=80), alt


class Ranks(Figure):
    """See `ranks`. `left` and `right` are the names of the measures."""

    left = traitlets.Unicode().tag(sync=True, page=True, value=True)
    right = traitlets.Unicode().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of left and right
        super().__init__(kind="ranks", **traits)

    @traitlets.validate("left", "right")
    def _know_the_measure(self, proposal):
        names = [measure["name"] for measure in self.spec["measures"]]
        return _one_of(proposal.trait.name, proposal.value, names)

    @property
    def numbers(self) -> dict[str, float | int]:
        """Spearman's correlation, and how many lines cross, computed in Python."""
        return self._measure(self.left, self.right)

    def still(self):
        n = self.numbers
        alt = (
            f"{n['families']} families between their ranks by {self.left} and by {self.right}. "
            f"Spearman's correlation is {n['spearman']:.2f}; {n['crossings']} pairs change their "
            f"order, {n['sure']} by more than the errors."
        )
        return to_webp(self._draw_still(self.left, self.right), quality=80), alt


class Coder(Figure):
    """See `coder`. `step` counts from nothing coded, `way` is "interval" or "stack"."""

    step = traitlets.Int().tag(sync=True, page=True, value=True)
    way = traitlets.Unicode().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of the spec; of step and way
        super().__init__(kind="coder", **traits)

    @traitlets.validate("way")
    def _know_the_way(self, proposal):
        known = ["stack"] if self.spec["codes"] else ["interval", "stack"]
        return _one_of("way", proposal.value, known)

    @traitlets.validate("step")
    def _stay_on_the_slider(self, proposal):
        return _within("step", proposal.value, 0, len(self.spec["steps"]) + 1)

    @property
    def numbers(self) -> dict[str, float | int]:
        """What the image costs, computed in Python."""
        return self._measure()

    def still(self):
        n = self.numbers
        how = "interval halving" if self.way == "interval" else "a stack"
        alt = (
            f"An image, and beside it the bits it has cost by {how} after each step, with what it "
            f"should cost: {n['bits']:.1f} bits in the end, of which the code takes "
            f"{n[self.way]}."
        )
        return to_webp(self._draw_still(self.step, self.way), quality=80), alt


class Crossing(Figure):
    """See `crossing`. `path` is the name of the path, `t` the time that is marked."""

    path = traitlets.Unicode().tag(sync=True, page=True, value=True)
    t = traitlets.Float().tag(sync=True, page=True, value=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of path and seed; and time
        super().__init__(kind="crossing", **traits)

    @traitlets.validate("path")
    def _know_the_path(self, proposal):
        return _one_of("path", proposal.value, list(self.spec["paths"]))

    @traitlets.validate("t")
    def _stay_on_the_slider(self, proposal):
        return _within("t", proposal.value, 0.0, 1.0)

    @property
    def numbers(self) -> dict[str, float]:
        """The straightness of the trajectories, computed in Python."""
        return self._measure(self.path, self.seed)

    def still(self):
        alt = (
            f"Left, {self.spec['shown']} {self.path} paths from examples to their noises, which "
            "cross. Right, the trajectories of the field from the same noises, which do not. Their "
            f"straightness is {self.numbers['straightness']:.2f}."
        )
        return to_webp(self._draw_still(self.path, self.t, self.seed), quality=80), alt


class Unmasking(Figure):
    """See `unmasking`. `at_once` pixels are drawn at a time, those come next that `rule` says."""

    rule = traitlets.Unicode().tag(sync=True, page=True, value=True)
    at_once = traitlets.Int().tag(sync=True, page=True, value=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, draw, draw_still, **traits):
        self._draw = draw  # rule, at_once, seed -> [(x, probabilities of ink), ...]
        self._draw_still = draw_still  # such stops -> Pillow image
        super().__init__(kind="unmasking", **traits)

    @traitlets.validate("rule")
    def _know_the_rule(self, proposal):
        return _one_of("rule", proposal.value, [name for name, _ in self.spec["rules"]])

    @traitlets.validate("at_once")
    def _stay_on_the_slider(self, proposal):
        return min(self.spec["at_once"], key=lambda size: abs(size - proposal.value))

    @property
    def numbers(self) -> dict[str, float]:
        """How many draws are different, and how far exact ones are from a table: Python's."""
        row = [name for name, _ in self.spec["rules"]].index(self.rule)
        column = self.spec["at_once"].index(self.at_once)
        found = {"different": self.spec["different"][row][column], "draws": self.spec["draws"]}
        return found | ({"tv": self.spec["tv"][row][column]} if "tv" in self.spec else {})

    @property
    def images(self):
        """What the page draws, computed in Python: (12, *shape)."""
        return self._way()[-1][0].float().unflatten(1, self.spec["shape"])

    def _way(self):
        return self._draw(self.rule, self.at_once, self.seed)

    def still(self):
        n, how = self.numbers, dict(self.spec["rules"])[self.rule]
        alt = (
            f"Twelve binary images from nothing to the end, {self.at_once} pixels at a time, the "
            f"next {how}; hidden pixels are grey, with a square for their probability of ink. "
            f"{n['different']} of {n['draws']} draws by this rule are different."
        )
        return to_webp(self._draw_still(self._way()), lossless=True), alt


class Completing(Figure):
    """See `completing`. `state` is what is known of the image, -1 where it is hidden."""

    state = traitlets.List(traitlets.Int(min=-1, max=1)).tag(sync=True, page=True)
    seed = traitlets.Int().tag(sync=True, page=True, value=True)

    def __init__(self, draw, draw_still, **traits):
        self._draw, self._draw_still = draw, draw_still  # as above, of state and seed
        super().__init__(kind="completing", **traits)

    @traitlets.validate("state")
    def _fill_the_image(self, proposal):
        height, width = self.spec["size"]
        if len(proposal.value) != height * width:
            got, wanted = len(proposal.value), height * width
            raise traitlets.TraitError(f"state: got {got} pixels, expected {wanted}")
        return proposal.value

    @property
    def numbers(self) -> dict[str, float]:
        """How many pixels are hidden."""
        return {"hidden": self.state.count(-1)}

    @property
    def images(self):
        """What the page draws, computed in Python: (6, *shape)."""
        end, _ = self._draw(self.state, self.seed)[-1]
        return end.float().unflatten(1, self.spec["shape"])

    def still(self):
        alt = (
            f"An image of which {self.numbers['hidden']} of {len(self.state)} pixels are hidden, "
            "six times, and below it six draws of what is hidden."
        )
        return to_webp(self._draw_still(self._draw(self.state, self.seed)), lossless=True), alt


class CodeGrid(Figure):
    """See `codebook`. `code` is the one that is looked at, `show` what cells show."""

    code = traitlets.List(traitlets.Int(), minlen=2, maxlen=2).tag(sync=True, page=True, value=True)
    show = traitlets.Unicode().tag(sync=True, page=True, value=True)

    def __init__(self, measure, draw_still, **traits):
        self._measure, self._draw_still = measure, draw_still  # of code; and show
        super().__init__(kind="codebook", **traits)

    @traitlets.validate("code")
    def _stay_on_the_grid(self, proposal):
        return [min(max(c, 0), self.spec["codes"] - 1) for c in proposal.value]

    @traitlets.validate("show")
    def _know_what_to_show(self, proposal):
        return _one_of("show", proposal.value, [name for name, _ in self.spec["shows"]])

    @property
    def numbers(self) -> dict[str, float]:
        """The code's share of the data and its prior probability, computed in Python."""
        return self._measure(self.code)

    def still(self):
        n, K = self.numbers, self.spec["codes"]
        alt = (
            f"A grid of {K} times {K} codes of two symbols, {dict(self.spec['shows'])[self.show]}. "
            f"Beside it the image of the code ({self.code[0]}, {self.code[1]}), which "
            f"{100 * n['data']:.1f} % of the images have, and some of these images."
        )
        return to_webp(self._draw_still(self.code, self.show), quality=80), alt


class Rate(Figure):
    """See `rate`. `at` is the name of the model that is looked at."""

    at = traitlets.Unicode().tag(sync=True, page=True, value=True)

    def __init__(self, draw_still, **traits):
        self._draw_still = draw_still  # of the name
        super().__init__(kind="rate", **traits)

    @traitlets.validate("at")
    def _know_the_model(self, proposal):
        return _one_of("at", proposal.value, [p["name"] for p in self.spec["points"]])

    @property
    def numbers(self) -> dict[str, float]:
        """Distortion and rate, and what of their sum one code gives away, in nats."""
        p = next(p for p in self.spec["points"] if p["name"] == self.at)
        found = {name: p[name] for name in ("distortion", "rate", "total", "best", "exact")}
        return found | {"not_best": p["total"] - p["best"], "others": p["best"] - p["exact"]}

    def still(self):
        n = self.numbers
        alt = (
            "Nats per image against the rate: distortion + rate, the best code, all codes. At "
            f"{self.at} distortion {n['distortion']:.2f} + rate {n['rate']:.2f} = "
            f"{n['total']:.2f}, of which one code gives away {n['total'] - n['exact']:.2f}."
        )
        return to_webp(self._draw_still(self.at), quality=80), alt
