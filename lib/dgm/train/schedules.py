"""Schedules: what changes in training, as functions of the number of updates done, t.

They weigh the KL term of the ELBO with a `beta` that rises, so that the decoder learns to use the
code before the code is taxed in full:

    warm_up = partial(linear_warmup, steps=1000)
    step = gradient_step(model, elbo, schedules={"beta": warm_up})

Any function of t will do, `lambda t: 0.5 if t < 1000 else 1.0`. While beta is below 1 the
objective is no bound of log p(x).
"""

import math


def linear_warmup(t: int, steps: int) -> float:
    """From 0 to 1 in a straight line over `steps` updates, then 1.

    Source: Sønderby, Raiko, Maaløe, Sønderby and Winther (2016), arXiv:1602.02282, Ladder
    Variational Autoencoders.

    >>> [linear_warmup(t, steps=1000) for t in (0, 250, 1000, 5000)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return min(1.0, t / _positive(steps))


def sigmoid_warmup(t: int, steps: int) -> float:
    r"""$\sigma(10 \, t / \text{steps} - 5)$: slowly, then fast, then slowly, half-way at steps / 2.

    Source: Bowman et al. (2016), arXiv:1511.06349, Generating Sentences from a Continuous Space,
    section 3.1.

    >>> [round(sigmoid_warmup(t, steps=1000), 4) for t in (0, 500, 1000)]
    [0.0067, 0.5, 0.9933]
    """
    return 1 / (1 + math.exp(5 - 10 * min(1.0, t / _positive(steps))))


def cyclical_warmup(t: int, steps: int) -> float:
    """A linear warm-up over the first half of every cycle of `steps` updates, 1 in its second half.

    Each return to 0 lets the code be used anew.

    Source: Fu et al. (2019), arXiv:1903.10145, Cyclical Annealing Schedule: A Simple Approach to
    Mitigating KL Vanishing.

    >>> [cyclical_warmup(t, steps=1000) for t in (0, 250, 500, 999, 1000, 1250)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """
    return min(1.0, 2 * (t % _positive(steps)) / steps)


def _positive(steps: float) -> float:
    if not steps > 0:
        raise ValueError(f"steps: got {steps}, expected a positive number")
    return steps
