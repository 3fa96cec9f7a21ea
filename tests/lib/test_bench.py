"""The benchmark's ways do the same work, and its record is told in full. No speed is tested."""

import copy
import importlib.util
import itertools
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from dgm.bench import __main__ as program
from dgm.bench import (
    clock,
    costs,
    denoisers,
    flows,
    measure,
    parts,
    picture,
    products,
    quantisers,
    record,
    report,
    sampling,
    ways,
)
from dgm.models import VAE
from dgm.objectives import elbo, iwae
from dgm.train import gradient_step

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setenv("DGM_DATA", str(tmp_path))  # no MNIST there: images made of digits
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which `measure` changes
    torch.manual_seed(0)


# ---------------------------------------------------------------- the ways do the same work


def linear_layers(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear)]


WIDE = products.Work()


def our_vae(work=WIDE):
    return VAE.mlp(work.shape, hidden=work.width, latent=products.LATENT)


def same_weights():
    """The usual VAE, and ours with its weights: one layer for mu and log sigma^2 instead of two."""
    usual, ours = ways.UsualVAE(), our_vae()
    fc1, fc21, fc22, fc3, fc4 = usual.children()
    for kind in ("weight", "bias"):
        both = torch.cat([getattr(fc21, kind), getattr(fc22, kind)])
        values = [getattr(fc1, kind), both, getattr(fc3, kind), getattr(fc4, kind)]
        for layer, value in zip(linear_layers(ours), values, strict=True):
            getattr(layer, kind).data.copy_(value)
    return usual, ours


def usual_loss(usual, batches):
    """The mean loss of an epoch of four batches. Three of the losses come after an update, so that
    ways whose losses agree have made the same updates."""
    torch.manual_seed(1)  # the same noise for every way
    return ways.usual_epoch(usual, torch.optim.Adam(usual.parameters(), lr=1e-3), batches)


@pytest.fixture
def batches():
    return list(ways.our_batches(4 * ways.batch_size()))


def test_our_updates_are_the_usual_ones(batches):
    """On grey pixels, as the example; `fit` would ask for binary ones, a step takes what comes."""
    usual, ours = same_weights()
    expected = usual_loss(usual, batches)
    step = gradient_step(ours, elbo)
    torch.manual_seed(1)
    losses = [-step(batch)["objective"].item() for batch in batches]
    assert sum(losses) / len(losses) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("task", ways.NETWORKS)
@pytest.mark.parametrize("compiled", [False, True])
def test_our_epochs_and_the_shortest_loop_take_the_same_path(task, compiled, monkeypatch):
    real, calls = torch.compile, []

    def with_eager_draws(function, **options):  # compiled by inductor, other numbers are drawn
        calls.append(options)
        return real(function, **options | {"backend": "aot_eager"})

    monkeypatch.setattr(torch, "compile", with_eager_draws)
    work = ways.work_of(task)
    split = ways.images(4 * work.batch, "cpu", work.side)
    bare, ours = ways.BareVAE(work), our_vae(work)
    for a, b in zip(linear_layers(bare), linear_layers(ours), strict=True):
        b.load_state_dict(copy.deepcopy(a.state_dict()))
    optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3, fused=True)
    torch.manual_seed(1)
    expected = ways.bare_epoch(bare, optimizer, split, work.batch).item()
    step = gradient_step(ours, elbo)
    if compiled:
        step.compile(backend="inductor")
    torch.manual_seed(1)
    binary = split.batches(work.batch, binarize="dynamic")
    assert ways.our_epoch(step, binary, compiled) == pytest.approx(expected, rel=1e-4)
    assert len(calls) == compiled


def test_what_could_not_be_compiled_is_not_called_compiled(monkeypatch):
    def fails(function, **options):
        def run(*arguments):
            raise RuntimeError("no compiler here")

        return run

    monkeypatch.setattr(torch, "compile", fails)
    first, _ = ways.our_training(200, ways.EPOCH, compiled=True)
    with pytest.raises(RuntimeError, match="could not be compiled"):
        first()


def test_pythae_takes_the_usual_path(batches):
    pytest.importorskip("pythae", reason="pythae is missing: make .venv/bench installs it")
    from dgm.bench.pythae_vae import pythae_trainer

    size = ways.batch_size()
    trainer = pythae_trainer(ways.images(4 * size, "cpu"), 400, 20, size)
    assert [len(batch["data"]) for batch in trainer.train_loader] == 4 * [size]
    usual = ways.UsualVAE()
    theirs = list(trainer.model.parameters())
    assert sorted(p.shape for p in theirs) == sorted(p.shape for p in usual.parameters())
    state = zip(_pythae_layers(trainer.model), usual.children(), strict=True)
    for layer, value in state:
        layer.load_state_dict(copy.deepcopy(value.state_dict()))
    expected = usual_loss(usual, batches)

    class Loader(list):
        dataset = range(4 * size)

    trainer.train_loader = Loader({"data": x, "labels": y} for x, y in batches)
    torch.manual_seed(1)
    assert trainer.train_step(1) == pytest.approx(expected, rel=1e-4)


def _pythae_layers(model):
    """In the order of `UsualVAE`."""
    e, d = model.encoder, model.decoder
    return [e.features[1], e.mu, e.log_var, d.network[0][0], d.network[1]]


@pytest.mark.parametrize("workers", [0, 2])
def test_both_ways_feed_the_same_images(workers):
    def in_order(batches):
        """All images and labels, whatever the order they came in."""
        x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
        order = x.flatten(1).double().sum(1).argsort(stable=True)
        return x[order], y[order]

    usual, ours = ways.usual_batches(200, workers), ways.our_batches(200)
    assert [len(x) for x, _ in usual] == [len(x) for x, _ in ours] == [128, 72]
    for theirs, own in zip(in_order(usual), in_order(ours), strict=True):
        assert theirs.equal(own)


def test_a_first_call_meets_the_last_batch():
    """A batch of another size is compiled anew, which must not fall into a timed epoch."""
    few = ways.few_batches(ways.our_batches(20 * 128 + 5))
    assert [len(x) for x, _ in few] == [128] * ways.FEW + [5]


@pytest.mark.parametrize(
    "task, way",
    [
        (t, w)
        for t, all_ in ways.TASKS.items()
        if t not in flows.TASKS | denoisers.TASKS | quantisers.TASKS
        for w in all_
    ],
)
def test_an_epoch_is_all_images(task, way, monkeypatch):
    """Each way, without its models: what it goes through in the first call and in an epoch."""
    seen = []
    monkeypatch.setattr(ways, "feed", lambda b: seen.append(sum(len(x) for x, _ in b)))
    monkeypatch.setattr(ways, "usual_epoch", lambda m, o, b: ways.feed(b))
    monkeypatch.setattr(ways, "our_epoch", lambda s, b, compiled: ways.feed(b))
    monkeypatch.setattr(ways, "bare_epoch", lambda m, o, split, batch: seen.append(len(split)))

    class Trainer:
        def __init__(self, split, *sizes):
            self.images = len(split)

        def train_step(self, epoch):
            seen.append(self.images)

    monkeypatch.setattr(ways, "pythae_trainer", Trainer)
    monkeypatch.setattr(ways, "product_step", lambda layers: lambda: seen.append(layers[0][0]))
    n = 20 * 128 + 64
    first, epoch = ways.TASKS[task][way](n)
    first()
    few = sum(seen)
    seen.clear()
    epoch()
    assert 0 < few < n
    assert sum(seen) == pytest.approx(n, abs=64)


# ---------------------------------------------------------------- flows


@pytest.mark.parametrize("kind", flows.LAYERS)
@pytest.mark.parametrize("direction", [flows.SCORING, flows.DRAWING])
def test_flows_of_others_are_of_the_same_networks(kind, direction, monkeypatch):
    """Products counted by torch: those of the networks alone, and of all that is installed."""
    monkeypatch.setattr(flows, "SIZE", 4)
    monkeypatch.setattr(flows, "HIDDEN", 6)
    counted = {}
    for name, build in flows.BUILDS.items():
        if name not in (flows.ZUKO, flows.NORMFLOWS) or importlib.util.find_spec(name):
            _, epoch = flows.way(build, kind, direction, 2 * flows.BATCH)
            with FlopCounterMode(display=False) as counter:
                epoch()
            counted[name] = counter.get_total_flops()
    assert len(set(counted.values())) == 1, counted
    outputs = {flows.COUPLINGS: 2 * 2, flows.MASKED: 2 * 4, flows.SPLINES: 2 * 23}[kind]
    inputs, passes = (4, 4) if kind == flows.MASKED else (2, 1)
    weights = inputs * 6 + 6 * 6 + 6 * outputs
    passes = passes if direction == flows.DRAWING else 1
    assert counted["dgm"] == 2 * 2 * flows.BATCH * weights * flows.LAYERS[kind] * passes


# ---------------------------------------------------------------- flow matching and diffusion


@pytest.mark.parametrize("kind", denoisers.BUILDS)
@pytest.mark.parametrize("task", [denoisers.TRAINING, denoisers.DRAWING])
def test_denoisers_of_others_ask_as_much_of_the_network(kind, task, monkeypatch):
    """Products counted by torch: those of the networks alone, and of all that is installed."""
    monkeypatch.setattr(denoisers, "BATCHES", dict.fromkeys(denoisers.BATCHES, 4))
    monkeypatch.setattr(denoisers, "STEPS", 3)
    counted = {}
    for name, build in denoisers.BUILDS[kind].items():
        if name not in ways.OTHERS or importlib.util.find_spec(name):
            first, epoch = denoisers.way(build, kind, task, 8)
            with FlopCounterMode(display=False) as counter:
                epoch()
            counted[name] = counter.get_total_flops()
    assert len(set(counted.values())) == 1, counted
    if kind == denoisers.FLOW and task == denoisers.DRAWING:
        blocks = 3 * (2 * 128 * 128 + 48 * 256)
        weights = 32 * 48 + 48 * 48 + 2 * 128 + blocks + 128 * 2
        assert counted["dgm"] == 2 * (2 * 4) * weights * 3  # two batches, three evaluations


def test_training_is_an_update_and_drawing_is_none():
    model = denoisers.network(denoisers.FLOW)
    update = denoisers.descent(model, lambda x: model(x, x[:, 0]).sum())
    before = [p.clone() for p in model.parameters()]
    update(torch.randn(4, 2))
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    _, draw = denoisers.ours(denoisers.FLOW)
    x = draw(5)
    assert x.shape == (5, 2) and not x.requires_grad


# ---------------------------------------------------------------- codes of symbols


def multiplied_by(epoch):
    """Operations of convolutions and of their gradients; distances to vectors are not counted."""
    with FlopCounterMode(display=False) as counter:
        epoch()
    counts = counter.get_flop_counts()["Global"]
    return sum(count for kind, count in counts.items() if "convolution" in str(kind))


@pytest.mark.parametrize("task", [denoisers.TRAINING, flows.DRAWING])
def test_a_vq_vae_of_others_asks_as_much_of_the_networks(task, monkeypatch):
    """Ours looks once more at the batch, with the encoder that it has then, to move the book."""
    monkeypatch.setattr(quantisers, "BATCH", 4)
    counted = {}
    for name, build in quantisers.BUILDS[quantisers.IMAGES].items():
        if name not in ways.OTHERS or importlib.util.find_spec(name):
            _, epoch = quantisers.way(build, quantisers.IMAGES, task, 8)
            counted[name] = multiplied_by(epoch)
    encoder = quantisers.on_a_grid((1, 28, 28)).encoder
    once_more = multiplied_by(lambda: encoder(torch.zeros(8, 1, 28, 28)))
    counted["dgm"] -= once_more if task == denoisers.TRAINING else 0
    assert len(set(counted.values())) == 1 and counted["dgm"] > 0, counted


def test_codebooks_follow_the_same_points():
    """In the end the vectors are at the centres of four clusters, all but a few. Theirs count as
    alive until 0.99^t is less than 0.1, for 230 batches."""
    centres = 3 * torch.eye(64)[:4]
    for name, build in quantisers.BUILDS[quantisers.BOOK].items():
        if name in ways.OTHERS and not importlib.util.find_spec(name):
            continue
        update, draw = build(quantisers.BOOK)
        for _ in range(250):
            update(centres[torch.randint(4, (32, 16))] + 0.01 * torch.randn(32, 16, 64))
        away = torch.cdist(draw(200).reshape(-1, 64), centres).min(1).values
        assert (away < 0.5).float().mean() > 0.9, name


# ---------------------------------------------------------------- products and bounds


def test_the_products_are_those_of_a_training_step():
    """Counted by torch, for ours, for the usual ones and for the products alone."""
    batch = torch.rand(128, 1, 28, 28), torch.zeros(128)
    layers = products.Work().layers()
    step, usual, bare = (
        gradient_step(our_vae(), elbo),
        ways.UsualVAE(),
        ways.BareVAE(products.Work()),
    )
    optimizer = torch.optim.Adam(usual.parameters())
    for run in (
        lambda: step(batch),
        lambda: ways.usual_epoch(usual, optimizer, [batch]),
        lambda: ways.bare_epoch(
            bare, torch.optim.Adam(bare.parameters()), ways.images(128, "cpu"), 128
        ),
        products.product_step(layers),
    ):
        with FlopCounterMode(display=False) as counter:
            run()
        assert counter.get_total_flops() == products.operations(WIDE.layers())


@pytest.mark.parametrize(
    "work", [products.Work(batch=8, width=30, k=3, side=7), products.Work(side=5)]
)
def test_the_products_of_the_cost_curves(work):
    model = our_vae(work)
    x = torch.ones(work.batch, 1, work.side, work.side)
    step = gradient_step(model, lambda model, x: iwae(model, x, k=work.k or 1))
    with FlopCounterMode(display=False) as counter:
        step((x,))
    assert counter.get_total_flops() == products.operations(work.layers())


def test_what_adam_moves():
    """Seven float32 per weight; biases are left out, which are few."""
    weights = sum(p.numel() for p in our_vae().parameters())
    moved = products.bytes_moved(WIDE.layers())
    assert 0.99 < moved / (7 * 4 * weights) < 1


def test_peaks_are_work_per_second(monkeypatch):
    """Each run takes two seconds by this clock. The product is counted by torch."""
    counted = []

    def two_seconds(run):
        with FlopCounterMode(display=False) as counter:
            run()
        counted.append(counter.get_total_flops())
        return 2.0

    monkeypatch.setattr(products, "seconds_per_call", two_seconds)
    rate, bandwidth = products.peaks("cpu")
    assert rate == counted[0] / 2 > 0
    assert bandwidth == 2 * 256 * 2**20 / 2  # 256 MiB are read and written


def test_curves_are_measured(monkeypatch):
    monkeypatch.setitem(costs.CURVES, "k", [1, 3])
    pairs = costs.cost("k", "cpu")
    assert [len(pair) for pair in pairs] == [2, 2]
    assert all(seconds > 0 for pair in pairs for seconds in pair)


def test_an_evaluation_decodes_a_chunk_at_a_time(monkeypatch):
    """Process memory is too coarse a measure here: the largest tensor that any function returns."""
    largest = []

    class Sizes(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest[-1] = max(largest[-1], out.numel())
            return out

    real = costs.importance_weighted

    def watched(*args, **more):
        largest.append(0)
        with Sizes():
            return real(*args, **more)

    monkeypatch.setattr(costs, "importance_weighted", watched)
    monkeypatch.setattr(costs, "DRAWS", [100, 400])
    monkeypatch.setattr(costs, "CHUNK", 50)
    assert len(costs.evaluation(False, "cpu")) == 2
    assert max(largest[1:]) == 50 * 784  # in spite of 400 draws
    largest.clear()
    costs.evaluation(True, "cpu")
    assert largest[1:] == [100 * 784, 400 * 784]


# ---------------------------------------------------------------- measuring


def test_start_up():
    """A fifth of what torch takes: the machine is slow for both of them. Here it is a twentieth."""
    code = "from time import process_time as now; start = now(); import torch; print(now() - start)"

    def is_quick():
        seconds, imported = measure.startup()
        assert imported == []
        torchs = float(subprocess.check_output([sys.executable, "-c", code]))
        return 0 < seconds < torchs / 5

    assert any(is_quick() for _ in range(3))  # once is enough: other programs only slow it down


@pytest.fixture
def ticks(monkeypatch):
    """A clock that moves a quarter of a second whenever it is read."""
    now = itertools.count(step=0.25)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: next(now)))


def test_seconds_are_those_of_the_calls(ticks):
    calls = []
    assert clock.seconds(lambda: calls.append(1)) == 0.25
    assert clock.seconds_per_call(lambda: calls.append(2), at_least=1.1) == 0.25
    assert clock.seconds_per_call(lambda: calls.append(3), at_least=0) == 0.25
    assert calls == [1, 2, 2, 2, 2, 2, 3]


def test_a_way_is_measured(ticks):
    measured = measure.measure(ways.FEEDING, "dgm", "cpu", n=200)
    assert 50 < measured.pop("memory") < 100_000  # MiB
    assert measured == {"first": 0.25, "seconds": 0.25}


def test_sampling_is_measured(monkeypatch):
    monkeypatch.setattr(sampling, "SHAPE", (1, 4, 4))
    monkeypatch.setattr(sampling, "PIXELS", 16)
    monkeypatch.setattr(sampling, "BATCHES", (2,))
    [(naive, incremental, parallel)] = sampling.sampling("NADE", "cpu")
    assert min(naive, incremental, parallel) > 0


def test_the_parts_of_a_step_are_its_whole(monkeypatch):
    monkeypatch.setattr(parts, "STEPS", 3)
    shares = parts.parts(ways.EPOCH, "cpu")
    assert set(shares) == {*parts.KINDS, parts.OTHER, parts.PYTHON}
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0


# ---------------------------------------------------------------- record, tables, picture

TAKES = {
    "DataLoader": 10.0,
    "pythae": 6.0,
    ways.BARE: 2.0,
    ways.OURS: 2.0,
    ways.BF16: 1.5,
    ways.COMPILED: 1.6,
    ways.PRODUCTS: 1.0,
}


def stand_in(function, *arguments):
    """What a job may have measured."""
    if function is measure.measure:
        task, way, _, images = arguments
        first = 20.0 if way == ways.COMPILED else 0.1
        seconds = TAKES.get(way, 20.0) * images / costs.EPOCH_OF
        return {"first": first, "seconds": seconds, "memory": 300.0}
    if function is products.peaks:
        return 2e11, 1e10
    if function is costs.cost:
        return [(2.0 * value, 1.0 * value) for value in costs.CURVES[arguments[0]]]
    if function is costs.evaluation:
        return [(0.1, 0.0), (1.0, 60.0 if arguments[0] else 0.5), (10.0, 700.0)]
    if function is parts.parts:
        return {kind: 0.2 for kind in (*parts.KINDS, parts.OTHER, parts.PYTHON)}
    assert function is sampling.sampling
    return [(60.0, 2.0, 0.1), (900.0, 3.0, 0.5)]


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """A function that runs the program with stand-ins for the jobs, and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "in_fresh_process", stand_in)
    monkeypatch.setattr(record, "startup", lambda: (0.1, []))
    monkeypatch.setattr(program.os, "getloadavg", lambda: (0.2, 0.0, 0.0))

    def run(*arguments):
        program.main(list(arguments))
        return capsys.readouterr().out

    return run


def line(table: str, start: str) -> str:
    (found,) = [line for line in table.splitlines() if line.strip().startswith(start)]
    return found


def test_a_run_leaves_table_record_and_picture(bench, tmp_path):
    printed = bench()
    for task, all_ in ways.TASKS.items():
        assert task in printed
        assert all(f"  {way}  " in printed for way in all_)
    assert all(f"64 of {name}" in printed for name in sampling.MODELS)
    assert all(f"    {v}  " in printed for values in costs.CURVES.values() for v in values)
    assert all(f"k = {k:,}" in printed for k in costs.DRAWS)
    written = (tmp_path / "book/records/bench/cpu.json").read_text()
    assert written == (tmp_path / "_build/bench.json").read_text()
    kept = json.loads(written)
    assert "\n".join(report.tables(kept)) == printed.rstrip("\n")  # all that is printed is kept
    assert kept["threads"] == torch.get_num_threads()
    assert kept["versions"]["torch"] == torch.__version__
    assert {"device", "commit", "date", "load", "source"} < set(kept)
    assert kept["repeats"] == list(program.REPEATS)
    repeats = kept["places"]["cpu"]["tasks"][ways.EPOCH]["ways"]["dgm"]
    assert len(repeats) == program.REPEATS[0]  # which all agree
    for folder in ("_build/bench", "book/records/bench/cpu"):
        assert (tmp_path / f"{folder}.txt").read_text() == printed
        assert (tmp_path / f"{folder}.svg").read_text().rstrip().endswith("</svg>")


def test_on_a_busy_machine_nothing_is_recorded(bench, monkeypatch, tmp_path, capsys):
    waits = []
    monkeypatch.setattr(program.os, "getloadavg", lambda: (2.0, 0.0, 0.0))
    monkeypatch.setattr(program.time, "monotonic", lambda: 30.0 * len(waits))
    monkeypatch.setattr(program.time, "sleep", waits.append)
    with pytest.raises(SystemExit) as stop:
        bench()
    assert stop.value.code == 2 and len(waits) == program.PATIENCE / 30
    assert "the machine is busy (load 2.0)" in capsys.readouterr().err
    assert not (tmp_path / "book").exists()
    assert "extrapolated from 6,000" in bench("--quick")


def test_a_try_out_is_not_recorded(bench, tmp_path):
    assert "extrapolated from 6,000" in bench("--quick")
    assert (tmp_path / "_build/bench.json").exists()
    assert not (tmp_path / "book").exists()


def test_what_has_not_settled_is_measured_again(bench, monkeypatch, tmp_path):
    """All ways of the task, so that a ratio is of neighbours; no other task."""
    noise = itertools.cycle([1.0, 2.0])

    def noisy(function, *arguments):
        measured = stand_in(function, *arguments)
        if arguments[:2] == (ways.NARROW, ways.OURS):
            measured["seconds"] *= next(noise)
        return measured

    monkeypatch.setattr(program, "in_fresh_process", noisy)
    bench()
    kept = json.loads((tmp_path / "_build/bench.json").read_text())
    for task, result in kept["places"]["cpu"]["tasks"].items():
        expected = program.REPEATS[task == ways.NARROW]
        assert {len(repeats) for repeats in result["ways"].values()} == {expected}


def test_figures_targets_and_what_is_missed(bench, monkeypatch):
    printed = bench()
    wide = printed.split(ways.EPOCH)[1]
    cells = " ".join(wide.split("DataLoader  ")[1].splitlines()[0].split())
    assert cells == "10 (10 to 10) 5 (5 to 5) 3.5 times: met 300 MiB"
    wide, narrow = wide.split("\n\n")[0], printed.split(ways.NARROW)[1].split("\n\n")[0]
    assert "1.4 times: met" in line(wide, "pythae")
    assert "1 times: met" in line(wide, ways.BARE)
    assert "at most 1.5 times as long: missed by 33.3%" in line(wide, ways.PRODUCTS)
    assert "at most 2.5 times as long: met" in line(narrow, ways.PRODUCTS)
    assert "in bf16 4.00 times as fast as pythae; 1.9 times: met" in wide
    assert "pays after 50 epochs" in wide  # (20.0 - 0.1) / (2 - 1.6)
    assert "0.20 TFLOP" in wide
    assert "dgm, compiled reaches 62%" in wide  # 0.1968 TFLOP at 0.2 TFLOP/s, of 1.6 s
    assert "would take 1.46 hours" in printed  # 3280 epochs of 1.6 s
    assert "what a step's time goes into" in printed and "20%" in line(printed, "Adam")
    assert line(printed, "1 of NADE").endswith(" 20")  # 2 s of 0.1 s
    assert "dgm draws 30,000 a second" in printed  # 60,000 in 2 s
    monkeypatch.setitem(TAKES, ways.OURS, 6.0)
    monkeypatch.setitem(TAKES, ways.COMPILED, 7.0)
    printed = bench().split(ways.EPOCH)[1].split("\n\n")[0]
    assert "1.4 times: missed by 28.6%" in line(printed, "pythae")
    assert "1 times: missed by 66.7%" in line(printed, ways.BARE)
    assert "missed by 300.0%" in line(printed, ways.PRODUCTS)  # 6 / 1 / 1.5
    assert "does not pay" in printed


def test_what_a_gpu_could_gain():
    """The step of least time is all launches: here one of 1 ms, in batches of 16."""
    measured = {curve: [[(6.0, 3.0)] * len(values)] for curve, values in costs.CURVES.items()}
    measured["batch"][0][0] = (0.001 * 60_000 / 16, 1.0)
    printed = "\n".join(report.cost_tables(measured))
    assert "takes about 1 ms, as the shortest" in printed
    assert line(printed, "16 ").endswith(" 1 times")
    assert line(printed, "4096 ").endswith(" 4.1e+02 times")  # 6 s of 60,000 / 4096 ms
    assert line(printed, "1600 ").endswith(" 13 times")  # 6 s of 60,000 / 128 ms


def test_targets_of_a_gpu():
    result = {"images": 60_000, "ways": {}}
    for way, seconds in (("DataLoader", 4.0), (ways.OURS, 0.4), (ways.COMPILED, 0.2)):
        result["ways"][way] = [{"first": 1.0, "seconds": seconds, "memory": 1.0}]
    printed = "\n".join(report.task_table("cuda", ways.EPOCH, result))
    assert "50 times: missed by 80.0%" in line(printed, "DataLoader")
    assert "at most 0.1 s: missed by 100.0%" in line(printed, ways.COMPILED)
    (whole,) = report.whole_recipe("cuda", result)
    assert "at most 20 minutes: met" in whole  # 3280 epochs of 0.2 s are 11 minutes


def test_flows_are_held_against_others_and_their_networks(bench, monkeypatch):
    monkeypatch.setitem(TAKES, flows.ZUKO, 6.0)
    monkeypatch.setitem(TAKES, flows.NORMFLOWS, 1.6)
    monkeypatch.setitem(TAKES, flows.NETWORKS, 1.0)
    table = bench().split("scoring by 8 affine couplings of 64 coordinates")[1].split("\n\n")[0]
    assert "extrapolated from 6,000" in table
    assert "1 times: met" in line(table, "zuko")
    assert "1 times: missed by 20.0%" in line(table, "normflows")
    assert "at most 1.5 times as long: missed by 33.3%" in line(table, "networks alone")


@pytest.mark.parametrize("way", [ways.PYTHAE, ways.COMPILED, flows.ZUKO])
def test_what_is_missing_is_said_and_the_rest_is_measured(way, bench, monkeypatch, tmp_path):
    def without(function, *arguments):
        if way in arguments:
            raise ModuleNotFoundError("it is not there")
        return stand_in(function, *arguments)

    monkeypatch.setattr(program, "in_fresh_process", without)
    printed = bench()
    assert f"{way}: not measured, ModuleNotFoundError: it is not there" in printed
    wide = printed.split(ways.EPOCH)[1]
    assert "10 (10 to 10) 5 (5 to 5)" in " ".join(wide.split("\n\n")[0].split())
    assert (tmp_path / "_build/bench.svg").exists()


def test_what_is_ours_must_not_be_missing(bench, monkeypatch, tmp_path):
    def broken(function, *arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(program, "in_fresh_process", broken)
    with pytest.raises(ZeroDivisionError):
        bench()
    assert not any(tmp_path.rglob("bench*"))


def test_the_picture_shows_the_record(bench, tmp_path):
    bench()
    measured = json.loads((tmp_path / "_build/bench.json").read_text())["places"]["cpu"]
    ax = Figure().subplots()
    picture.ways(measured, ax)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(list(TAKES.values()))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(TAKES)
    for curve, values in costs.CURVES.items():
        ax = Figure().subplots()
        picture.growth(measured, curve, ax)
        assert [list(drawn.get_xdata()) for drawn in ax.lines] == [values, values]
        assert list(ax.lines[0].get_ydata()) == [2.0 * value for value in values]
        assert ax.get_xlabel()
    ax = Figure().subplots()
    picture.memory(measured, ax)
    assert [list(drawn.get_ydata()) for drawn in ax.lines] == [[0, 0.5, 700], [0, 60, 700]]


def test_the_picture_is_written_whole_or_not_at_all(bench, monkeypatch, tmp_path):
    bench()
    file = tmp_path / "_build/bench.svg"
    before = file.read_text()

    def half(self, path, **options):
        path.write_text("<svg")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="no space"):
        bench()
    assert file.read_text() == before
    assert {path.suffix for path in file.parent.iterdir()} == {".json", ".txt", ".svg"}
