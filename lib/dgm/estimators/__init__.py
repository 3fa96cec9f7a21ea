r"""Gradients of expectations: one signature for every estimator.

An estimator is a function

    estimator(f, q, k, reduce=mean) -> (B,)

that draws $z_1, \dots, z_k \sim q$, evaluates f at each and reduces the k values to
$R = \operatorname{reduce}(f(z_1), \dots, f(z_k))$. All estimators estimate the same thing, $\mathbb
E_q[R]$, and most return the same number, the plain Monte Carlo value R. They differ in what
`backward` makes of it, that is in how they estimate

$$\nabla_\phi \mathbb E_{q_\phi}[R]
= \underbrace{\int R \, \nabla_\phi q_\phi}_{\text{the estimators differ here}}
+ \underbrace{\mathbb E_{q_\phi}[\nabla_\phi R]}_{\text{parameters inside f: by autograd}}$$

    estimator         q                                   value      gradient
    pathwise          continuous, with `rsample`          R          unbiased if f is smooth
    score_function    any with `log_prob`                 R          unbiased
    measure_valued    Normal                              R          unbiased, 4 m k more draws
    exact             few outcomes                        E[R]       exact
    straight_through  Bernoulli, OneHotCategorical        R          biased
    gumbel_softmax    Bernoulli, OneHotCategorical        biased     biased

with m the number of coordinates of z. A Normal or Bernoulli may be wrapped in `Independent`.

`reduce` turns values (k, B) into (B,). `mean` gives $\mathbb E_q[f]$, and with $f = \log w$ the
evidence lower bound; `logmeanexp` gives the importance-weighted bound. The reduction belongs inside
the estimator: surrogates made per draw and pushed through a logarithm have a wrong gradient.

`f` maps draws (n, B, *event) to values (n, B), whatever n: each draw on its own. Only first
derivatives are promised.

Source: Mohamed, Rosca, Figurnov and Mnih (2020), arXiv:1906.10652, Monte Carlo Gradient Estimation
in Machine Learning.
"""

from .continuous import measure_valued, pathwise
from .discrete import exact, gumbel_softmax, pass_gradient, straight_through, support
from .draws import innermost
from .measure import gradient_samples
from .reductions import logmeanexp, mean
from .score import score_function

__all__ = [
    "exact",
    "gradient_samples",
    "gumbel_softmax",
    "innermost",
    "logmeanexp",
    "mean",
    "measure_valued",
    "pass_gradient",
    "pathwise",
    "score_function",
    "straight_through",
    "support",
]
