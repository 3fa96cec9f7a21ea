"""The step of a generative adversarial network: two players, two optimisers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from .._device import device
from ..checks import check_data, examples, integer, one_each
from ..objectives.adversarial import critic_logistic, generator_non_saturating
from ..protocols import classes_of, given
from .averages import start_average, update_average
from .checkpoints import random_state, set_random_state
from .compiled import Compiled
from .steps import check_learns, check_steps_alone

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class adversarial_step:
    r"""Critic and generator in turns, each by gradient ascent on its own objective.

    One call: `critic_steps` updates of the critic, then one of the generator, which meets the
    critic's new parameters. The critic's fakes carry no graph (`generator.sample`), and the
    generator's gradient flows through the critic without being collected there, so each update
    changes one player and leaves the other's parameters and gradients alone.

    An average of the generator's parameters smooths out the circling of the game,

        average <- ema * average + (1 - ema) * theta,

    starting at the first theta. It plays no part in training; sample from `step.average`.

    Args:
        generator: has `rsample(n)` and `sample(n)`; moved to `dgm.device()`.
        critic: maps (B, *event) to (B,); moved likewise.
        critic_objective: `objective(D, real, fake) -> (B,)`, to be maximised.
        generator_objective: `objective(D, fake) -> (B,)`, to be maximised.
        lr: learning rate of both players.
        generator_optimizer, critic_optimizer: make an optimiser of the parameters; by default Adam
            with this `lr` and beta_1 = 0.5, because a long memory of gradients carries a player
            past where the other now is (Radford et al., 2016).
        critic_steps: updates of the critic per update of the generator. The batch is divided
            among them, so that each sees its own data: with 5, `batches(5 * 64)` gives each 64.
            A batch of fewer examples than steps is gone through more than once.
        simultaneous: both players move from the same point, neither seeing the other's move. It is
            what theory often assumes, and converges less readily.
        ema: the weight of the old average, at least 0 and less than 1.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"critic": ..., "generator": ...}`, the mean
    objectives before the players moved (of several critic steps, the last). Labels are used if the
    generator has `classes`. The state (both players, the average, both optimisers, `t`, random
    state) is complete: a run that is saved and resumed takes the same path as one never stopped.

    Raises:
        ValueError: a bad argument, players that differ in their classes.

    >>> from dgm.models import Critic, Generator
    >>> step = adversarial_step(Generator.mlp((2,)), Critic.mlp((2,)))
    >>> metrics = step((torch.randn(16, 2, device=device()),))
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
        critic_steps: int = 1,
        simultaneous: bool = False,
        ema: float = 0.99,
    ):
        if not lr > 0:
            raise ValueError(f"lr: got {lr}, expected a positive learning rate")
        critic_steps = integer("critic_steps", critic_steps)
        if simultaneous and critic_steps > 1:
            raise ValueError(f"critic_steps: got {critic_steps}, expected 1 if simultaneous")
        if not 0 <= ema < 1:
            raise ValueError(f"ema: got {ema}, expected at least 0 and less than 1")
        if classes_of(critic) != classes_of(generator):
            raise ValueError(
                f"generator, critic: got {classes_of(generator)} and {classes_of(critic)} classes, "
                "expected as many"
            )
        check_learns("generator", generator)
        check_learns("critic", critic)
        self.generator, self.critic = generator.to(device()), critic.to(device())
        self.critic_objective, self.generator_objective = critic_objective, generator_objective
        adam = partial(torch.optim.Adam, lr=float(lr), betas=(0.5, 0.999), fused=True)
        self.generator_optimizer = (generator_optimizer or adam)(generator.parameters())
        self.critic_optimizer = (critic_optimizer or adam)(critic.parameters())
        check_steps_alone("generator_optimizer", self.generator_optimizer)
        check_steps_alone("critic_optimizer", self.critic_optimizer)
        self.critic_steps, self.simultaneous, self.ema = critic_steps, simultaneous, ema
        self.average = start_average(generator)
        self._critic_value = self._mean_critic_objective
        self._generator_value = self._mean_generator_objective
        self.t = 0

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        x, *y = self._used(batch)
        if self.simultaneous:
            critic = self._critic_gradient(x, *y)
            generator = self._generator_gradient(x, *y)  # at the same point: no one has moved yet
            self.critic_optimizer.step()
            self.generator_optimizer.step()
        else:
            for part in self._shares(x, *y):
                critic = self._critic_gradient(*part)
                self.critic_optimizer.step()
            generator = self._generator_gradient(*part)
            self.generator_optimizer.step()
        self.t += 1
        update_average(self.average, self.generator, self.ema)
        return {"critic": critic, "generator": generator}

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

    def _critic_gradient(self, x: Tensor, *y: Tensor) -> Tensor:
        return _ascend(self._critic_value(x, *y), self.critic, self.critic_optimizer)

    def _generator_gradient(self, x: Tensor, *y: Tensor) -> Tensor:
        return _ascend(self._generator_value(x, *y), self.generator, self.generator_optimizer)

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

    def compile(self, **options) -> None:
        """Compile both objectives and their gradients, as `gradient_step.compile` does."""
        self._critic_value = Compiled(self._mean_critic_objective, **options)
        self._generator_value = Compiled(self._mean_generator_objective, **options)

    def check(self, batch: Sequence[Tensor]) -> None:
        """Raise ValueError if the batch cannot be data of these players. `fit` asks once."""
        x, *y = self._used(batch)
        check_data(self.critic, x, *y)
        support = getattr(self.generator, "support", constraints.real)
        if not support.check(x).all():
            raise ValueError(
                f"x: got values from {x.min():.3g} to {x.max():.3g}, which this generator cannot "
                f"make: its samples lie in {support}"
            )

    def state_dict(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in self._parts}
        return parts | {"t": self.t, "random": random_state()}

    def load_state_dict(self, state: dict) -> None:
        for name in self._parts:
            getattr(self, name).load_state_dict(state[name])
        self.t = state["t"]
        set_random_state(state["random"])

    _parts = ("generator", "critic", "average", "generator_optimizer", "critic_optimizer")


def _ascend(objective: Tensor, player: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """Leave the gradient of minus the objective in the player's parameters, and in no others."""
    optimizer.zero_grad(set_to_none=True)
    learning = [p for p in player.parameters() if p.requires_grad]
    (-objective).backward(inputs=learning)  # optimisers minimise
    return objective.detach()
