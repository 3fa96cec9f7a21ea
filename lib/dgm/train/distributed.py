r"""Several processes, one model: each computes the gradient on its share of every batch.

`torchrun` starts one script several times. Every process, a *rank*, holds the model and the data on
a device of its own, and all draw the same batch of B examples. Rank r of W takes the share $S_r$.
The gradient of its mean is weighted so that the average over the ranks, which they take together
before each update, is the gradient of the mean over the whole batch, where shares differ in size
too:

$$\frac1W \sum_r \frac{W |S_r|}{B} \nabla \Big(\frac{1}{|S_r|} \sum_{i \in S_r} f(x_i)\Big)
= \nabla \frac1B \sum_i f(x_i).$$

An objective that couples the examples of a batch (`free_bits`, M2's share of labelled examples)
sees the share, not the batch, and the equation does not hold for it.

What is drawn to make a batch (order, dynamic binarisation, noise that travels in the batch) comes
from one random state, that of rank 0. What a model draws on its share is the rank's own.
"""

import atexit
import hashlib
import io
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .._device import device
from ..checks import examples
from .checkpoints import load_run_state, run_state
from .randomness import random_state, set_random_state

TIMEOUT = timedelta(minutes=10)  # a process that is silent for longer counts as lost


def rank() -> int:
    """The number of this process among those that torchrun started; 0 if it is alone.

    For what only one of them is to do: `if rank() == 0: print(history)`.

    >>> rank()
    0
    """
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes torchrun started; 1 of a process alone.

    >>> world_size()
    1
    """
    return int(os.environ.get("WORLD_SIZE", 1))


class Ranks:
    """The processes of a run, as one of them sees them. A process alone is rank 0 of 1.

    Attributes:
        rank: of this process, from 0.
        world: the number of processes, W.
        weight: of this rank's share of the present batch, W |S_r| / B.

    >>> first, second = Ranks(0, world=2), Ranks(1, world=2)
    >>> batch = (torch.arange(5),)
    >>> first.share(batch), first.weight
    ((tensor([0, 1, 2]),), 1.2)
    >>> second.share(batch), second.weight
    ((tensor([3, 4]),), 0.8)
    """

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.world, self.weight = rank, world, 1.0

    @classmethod
    def connect(cls) -> "Ranks":
        """Meet the other processes that torchrun started. Without torchrun: alone."""
        if not dist.is_initialized():
            if world_size() == 1:
                return cls()
            backend = "gloo"
            if device().type == "cuda":
                backend = "cpu:gloo,cuda:nccl"
                torch.cuda.set_device(device())
            dist.init_process_group(backend, timeout=TIMEOUT)
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), dist.get_world_size())

    def share(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """This rank's examples of the batch.

        A rank for which none is left takes the first, at weight 0: the others wait for a gradient.

        Equation: eq-shares
        """
        batch = examples(batch)
        mine = tuple(part.tensor_split(self.world)[self.rank] for part in batch)
        self.weight = self.world * len(mine[0]) / len(batch[0])
        return mine if self.weight else tuple(part[:1] for part in batch)

    def shares(self, batches: Iterable[Sequence[Tensor]], step) -> Iterator[Sequence[Tensor]]:
        """This rank's share of every batch of an epoch.

        While a batch is made, the random state is the shared one; while a step uses it, the rank's
        own, which starts anew with each epoch. So the shared state, in which the epoch ends and
        which a checkpoint holds, and `step.t` determine all later draws of all ranks.
        """
        if self.world == 1:
            yield from batches
            return
        shared = self.from_first(random_state())
        torch.manual_seed(noise_seed(shared, step.t, self.rank))
        own = random_state()
        set_random_state(shared)
        for batch in batches:
            shared = random_state()
            set_random_state(own)
            yield self.share(batch)
            own = random_state()
            set_random_state(shared)

    @contextmanager
    def parallel(self, step) -> Iterator[None]:
        """Have the step average its gradients over the ranks."""
        step.distribute(self.mean_gradient if self.world > 1 else None)
        try:
            yield
        finally:
            step.distribute(None)

    def mean_gradient(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give each parameter the gradient of the mean over the whole batch, on all ranks alike.

        All of them travel as one vector. A parameter that the share did not reach counts with a
        gradient of zero, for it may have one elsewhere.
        """
        learning = [p for p in parameters if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        whole = self.mean(self.weight * nn.utils.parameters_to_vector(gradients))
        for p, gradient in zip(learning, whole.split([p.numel() for p in learning]), strict=True):
            p.grad = gradient.view_as(p)

    def same_state(self, step, history, best: dict | None) -> dict | None:
        """Bring step and history to where rank 0's are; returns its `best`."""
        if self.world == 1:
            return best
        file = io.BytesIO()
        if self.rank == 0:
            torch.save(run_state(step, history, best), file)
        file = io.BytesIO(self.from_first(file.getvalue()))
        if self.rank > 0:
            best = load_run_state(torch.load(file, "cpu", weights_only=True), step, history)
        return best

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the ranks; of what is weighted by `weight`, that over the whole batch."""
        if self.world == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.world

    def from_first(self, value: Any) -> Any:
        """What rank 0 passes, on all ranks."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    @contextmanager
    def together(self, checkpoint: str | os.PathLike | None) -> Iterator[None]:
        """Leave together, and say in one line if the others are lost or all are told to end."""
        if self.world == 1:
            yield
            return
        me = f"rank {self.rank} of {self.world}"
        rest = f"to go on from {checkpoint}, start all again" if checkpoint else "no checkpoint"

        def told(*_):  # the same words wherever the signal strikes, in the handlers below too
            raise SystemExit(f"{me} was told to end; {rest}")

        after = signal.signal(signal.SIGTERM, told)  # torchrun's way to end the others
        try:
            yield
            dist.barrier()  # no one leaves before rank 0 has written its checkpoint
        except KeyboardInterrupt:
            told()
        except RuntimeError as error:
            if not _lost(error):
                raise
            after = signal.SIG_IGN  # torchrun is about to send it, and the reason is to be read
            raise RuntimeError(f"{me}: another process ended or is silent; {rest}") from None
        finally:
            signal.signal(signal.SIGTERM, after)


def noise_seed(shared: dict[str, Tensor], t: int, rank: int) -> int:
    """The seed of what a rank draws by itself: a hash of the shared state, update and rank.

    >>> state = {"cpu": torch.get_rng_state()}
    >>> len({noise_seed(state, t, rank) for t in (0, 100) for rank in (0, 1)})
    4
    """
    state = b"".join(shared[name].numpy().tobytes() for name in sorted(shared))
    return int.from_bytes(hashlib.sha256(state + f" {t} {rank}".encode()).digest()[:8], "big")


def _lost(error: RuntimeError) -> bool:
    """Whether a word to the others did not get through. Gloo has no class of error for it."""
    signs = ("gloo", "by peer", "pair closure", "Broken pipe", "imed out")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)
