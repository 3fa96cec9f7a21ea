"""Schedules: what changes in training, as functions of the number of updates done, t.

They weigh the KL term of the ELBO with a `beta` that rises, so that the decoder learns to use the
code before the code is taxed in full:

    warm_up = partial(linear_warmup, steps=1000)
    step = gradient_step(model, elbo, schedules={"beta": warm_up})

Any function of t will do, `lambda t: 0.5 if t < 1000 else 1.0`. While beta is below 1 the
objective is no bound of log p(x).
"""


def linear_warmup(t: int, steps: int) -> float:
    """From 0 to 1 in a straight line over `steps` updates, then 1.

    Source: Sønderby, Raiko, Maaløe, Sønderby and Winther (2016), arXiv:1602.02282, Ladder
    Variational Autoencoders.

    >>> [linear_warmup(t, steps=1000) for t in (0, 250, 1000, 5000)]
    [0.0, 0.25, 1.0, 1.0]
    """
    if not steps > 0:
        raise ValueError(f"steps: got {steps}, expected a positive number")
    return min(1.0, t / steps)


def rising_average(t: int, ema: float) -> float:
    """The weight of the old average after t updates, min(ema, (1 + t) / (10 + t)).

    An average that starts at the first parameters and looks back over more updates than there have
    been is mostly made of those first ones. This one forgets them, and looks back further the
    longer the run: `gradient_step(model, objective, ema=partial(rising_average, ema=0.999))`.

    >>> [round(rising_average(t, ema=0.999), 3) for t in (0, 90, 100_000)]
    [0.1, 0.91, 0.999]
    """
    return min(ema, (1 + t) / (10 + t))
