"""Expectation-maximisation as a step: coordinate ascent on the bound."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import check_data, examples
from .steps import Step


class em_step(Step):
    """One E-step and one M-step.

    The E-step makes the bound equal to the log-likelihood, the M-step raises the bound; so the
    log-likelihood does not fall. That holds for the batch it is given: give it all data at once,

        fit(em_step(model.initialize(x)), [(x,)], epochs=50)

    An M-step forgets what earlier batches said.

    Args:
        model: has `log_prob`, `e_step(x) -> q` and `m_step(x, q)`: `PPCA`, `GaussianMixture`,
            `BernoulliMixture`. It stays on its device.

    Calling it with a batch `(x,)` or `(x, y)` (labels are not used) returns `{"objective": mean of
    log p(x) in nats, before the update}`.

    Raises:
        ValueError: the model has no E- or M-step.

    Source: Dempster, Laird and Rubin (1977), doi:10.1111/j.2517-6161.1977.tb01600.x, Maximum
    likelihood from incomplete data via the EM algorithm.

    >>> import torch
    >>> from dgm.models import GaussianMixture
    >>> x = torch.randn(100, 2)
    >>> step = em_step(GaussianMixture((2,), components=2).initialize(x))
    >>> first, second = step((x,))["objective"], step((x,))["objective"]
    >>> bool(second > first), step.t
    (True, 2)
    """

    def __init__(self, model: nn.Module):
        if not (hasattr(model, "e_step") and hasattr(model, "m_step")):
            raise ValueError(f"model: got {type(model).__name__}, expected e_step and m_step")
        self.model = model

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        x = examples(batch)[0]
        objective = self.model.log_prob(x).mean()
        self.model.m_step(x, self.model.e_step(x))
        self.t += 1
        return {"objective": objective.detach()}

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def check(self, batch: Sequence[Tensor]) -> None:
        check_data(self.model, *examples(batch))
