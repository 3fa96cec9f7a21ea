"""The step of a generative adversarial network: two players, two optimisers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ..checks import check_data, examples, integer, one_each
from ..objectives.adversarial import critic_logistic, generator_non_saturating
from ..protocols import classes_of, given
from .compiled import Compiled, worth_compiling
from .learner import Learner, MakeOptimizer, MakeScheduler, adam
from .steps import Step, with_state


class adversarial_step(Step):
    r"""Critic and generator in turns, each by gradient ascent on its own objective.

    One call: `critic_steps` updates of the critic, then one of the generator, which meets the
    critic's new parameters. The critic's fakes carry no graph (`generator.sample`), and the
    generator's gradient flows through the critic without being collected there, so each update
    changes one player and leaves the other's parameters and gradients alone.

    An average of the generator's parameters smooths out the circling of the game,

        average <- ema * average + (1 - ema) * theta,

    starting at the first theta. It plays no part in training; sample from `step.average`.

    Args:
        generator: has `rsample(n)` and `sample(n)`; it stays on its device.
        critic: maps (B, *event) to (B,), on the same device.
        critic_objective: `objective(D, real, fake) -> (B,)`, to be maximised.
        generator_objective: `objective(D, fake) -> (B,)`, to be maximised.
        lr: learning rate of both players.
        generator_optimizer, critic_optimizer: make an optimiser of the parameters; by default Adam
            with this `lr` and beta_1 = 0.5, because a long memory of gradients carries a player
            past where the other now is (Radford et al., 2016).
        lr_schedule: makes a scheduler of each player's optimiser, as in `gradient_step`; it goes on
            by one with every step, also where the critic makes several updates.
        clip: the largest norm of a player's gradient; a longer one is shortened to it.
        critic_steps: updates of the critic per update of the generator. The batch is divided
            among them, so that each sees its own data: with 5, `batches(5 * 64)` gives each 64.
            A batch of fewer examples than steps is gone through more than once.
        simultaneous: both players move from the same point, neither seeing the other's move. It is
            what theory often assumes, and converges less readily.
        ema: the weight of the old average, at least 0 and less than 1. The critic has no average:
            nobody samples from it.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"critic": ..., "generator": ...}`, the mean
    objectives before the players moved (of several critic steps, the last), and, if gradients are
    clipped, `"critic_gradient_norm"` and `"generator_gradient_norm"`. Labels are used if the
    generator has `classes`. A checkpoint is complete, as that of a `gradient_step`: a run that is
    saved and resumed takes the same path as one never stopped.

    Raises:
        ValueError: a bad argument, players that differ in their classes or devices.

    Equation: eq-dirac-simultaneous, eq-dirac-alternating

    >>> from dgm.models import Critic, Generator
    >>> step = adversarial_step(Generator.mlp((2,)), Critic.mlp((2,)))
    >>> metrics = step((torch.randn(16, 2),))
    >>> list(metrics), step.t
    (['critic', 'generator'], 1)
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        critic_objective: Callable[..., Tensor] = critic_logistic,
        generator_objective: Callable[..., Tensor] = generator_non_saturating,
        lr: float = 1e-3,
        generator_optimizer: MakeOptimizer | None = None,
        critic_optimizer: MakeOptimizer | None = None,
        lr_schedule: MakeScheduler | None = None,
        clip: float | None = None,
        critic_steps: int = 1,
        simultaneous: bool = False,
        ema: float = 0.99,
    ):
        default = adam(lr, betas=(0.5, 0.999))
        critic_steps = integer("critic_steps", critic_steps)
        if simultaneous and critic_steps > 1:
            raise ValueError(f"critic_steps: got {critic_steps}, expected 1 if simultaneous")
        if classes_of(critic) != classes_of(generator):
            raise ValueError(
                f"generator, critic: got {classes_of(generator)} and {classes_of(critic)} classes, "
                "expected as many"
            )
        self.generator, self.critic = generator, critic
        self.critic_objective, self.generator_objective = critic_objective, generator_objective
        self.players = {
            "generator": Learner(
                generator,
                generator_optimizer or default,
                lr_schedule,
                clip,
                ema,
                arguments=("generator", "generator_optimizer"),
            ),
            "critic": Learner(
                critic,
                critic_optimizer or default,
                lr_schedule,
                clip,
                arguments=("critic", "critic_optimizer"),
            ),
        }
        places = [player.device for player in self.players.values()]
        if places[0] != places[1]:
            raise ValueError(
                f"generator, critic: got one on {places[0]} and one on {places[1]}, "
                "expected both on one device"
            )
        self.generator_optimizer = self.players["generator"].optimizer
        self.critic_optimizer = self.players["critic"].optimizer
        self.average = self.players["generator"].average
        self.critic_steps, self.simultaneous = critic_steps, simultaneous
        self._critic_value = self._mean_critic_objective
        self._generator_value = self._mean_generator_objective

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        x, *y = self._used(batch)
        generator, critic = self.players["generator"], self.players["critic"]
        metrics, norms = {}, {}
        if self.simultaneous:
            metrics["critic"] = critic.gradient(self._critic_value(x, *y))
            # at the same point: no one has moved yet
            metrics["generator"] = generator.gradient(self._generator_value(x, *y))
            norms = {name: player.update() for name, player in self.players.items()}
        else:
            for part in self._shares(x, *y):
                metrics["critic"] = critic.gradient(self._critic_value(*part))
                norms["critic"] = critic.update()
            metrics["generator"] = generator.gradient(self._generator_value(*part))
            norms["generator"] = generator.update()
        for name, player in self.players.items():
            player.advance(self.t)
            if norms[name] is not None:
                metrics[f"{name}_gradient_norm"] = norms[name]
        self.t += 1
        return metrics

    def _used(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(x, y) for players with classes, else (x,)."""
        x, y = (*examples(batch), None)[:2]
        return x, *given(self.generator, y).values()

    def _shares(self, *batch: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The batch divided among the critic's steps; one too small for that goes round again."""
        n = len(batch[0])
        if n < self.critic_steps:
            again = torch.arange(self.critic_steps, device=batch[0].device) % n
            batch = tuple(b[again] for b in batch)
        return zip(*(b.tensor_split(self.critic_steps) for b in batch), strict=True)

    def _mean_critic_objective(self, x: Tensor, *y: Tensor) -> Tensor:
        fake = self.generator.sample(len(x), *y)  # (B, *event), a constant to the critic
        values = self.critic_objective(self._judge(*y), x, fake)  # (B,)
        return one_each(values, x, "critic_objective").mean()

    def _mean_generator_objective(self, x: Tensor, *y: Tensor) -> Tensor:
        fake = self.generator.rsample(len(x), *y)  # (B, *event), a function of theta
        values = self.generator_objective(self._judge(*y), fake)  # (B,)
        return one_each(values, fake, "generator_objective").mean()

    def _judge(self, *y: Tensor) -> Callable[[Tensor], Tensor]:
        """D(x), or D(x | y) with the labels filled in: objectives need not know of them."""
        return partial(self.critic, y=y[0]) if y else self.critic

    @property
    def model(self) -> nn.Module:
        """What is trained for: the generator to sample from."""
        return self.average

    @property
    def parts(self) -> dict[str, Any]:
        objectives = with_state("critic_objective", self.critic_objective)
        return (
            self.players | objectives | with_state("generator_objective", self.generator_objective)
        )

    def compile(self, **options) -> None:
        """Compile both objectives and their gradients, as `gradient_step.compile` does."""
        place = self.players["critic"].device
        if worth_compiling(place, options):
            self._critic_value = Compiled(self._mean_critic_objective, place, **options)
            self._generator_value = Compiled(self._mean_generator_objective, place, **options)

    def check(self, batch: Sequence[Tensor]) -> None:
        x, *y = self._used(batch)
        check_data(self.critic, x, *y)
        support = getattr(self.generator, "support", constraints.real)
        if not support.check(x).all():
            raise ValueError(
                f"x: got values from {x.min():.3g} to {x.max():.3g}, which this generator cannot "
                f"make: its samples lie in {support}"
            )
