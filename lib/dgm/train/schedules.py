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
