"""The committed records: what the program wrote is what the models beside them give again."""

from contextlib import contextmanager
from functools import cache, partial
from itertools import product

import pytest
import torch
from places import ROOT

from dgm import data, toys
from dgm.evaluate import RBMPath, ais, rate_distortion
from dgm.protocols import given
from dgm.reproduce import EXPERIMENTS, Study, energies, judging, load, masked_text, vq_vae
from dgm.reproduce.families import FAMILIES, over_seeds
from dgm.reproduce.recipe import ABOUT
from dgm.reproduce.records import KEPT, read_models, unpacked
from dgm.reproduce.runs import train_rounds
from dgm.reproduce.study import MEASURING_SEED

RECORDS = ROOT / "book" / "records"
QUICK = 60  # seconds that measuring took when the record was written
# The draws are those of the record, so only rounding differs: sums of 64 to 784 float32 terms that
# add up to some hundred nats, 1e-4 at most, less in the mean over images. The values of single
# images are kept to three decimals, and may differ by one step of these. A page shows 0.01.
TOLERANCE = 1.5e-3


def quick_records():
    for model in sorted(RECORDS.glob("models/*.pt")):
        record = load(model.stem).content
        if record["device"] == "cpu" and record.get("measuring_seconds", QUICK) < QUICK:
            yield pytest.param(record, model.stem, id=model.stem)


def at_hand(name: str) -> bool:
    """Whether a data set need not be downloaded."""
    files = (data.folder() / f"{name}.npz", data.folder() / name.upper())
    known = name in ("digits", "prose") or hasattr(toys, name)
    return known or any(file.exists() for file in files)


@cache
def measured(name: str, run: str, images: int) -> dict:
    """What the recipe and the model that was kept say."""
    recipe = EXPERIMENTS[name]
    dataset = data.load(recipe.dataset)
    model = load(run).model()
    own = {key: getattr(recipe, key) for key in ABOUT}
    return own | recipe.measure(model, dataset, images)


def disagreement(record: dict, run: str) -> dict:
    """Where a record says something else: its values and those that are measured."""
    again = measured(record["name"], run, record["images"])
    return {key: (record[key], again[key]) for key in again if not same(record[key], again[key])}


def same(recorded, measured) -> bool:
    if isinstance(measured, dict):
        return all(same(recorded[key], measured[key]) for key in measured)
    if isinstance(measured, list) and len(measured) == len(recorded):
        return all(map(same, recorded, measured))
    if isinstance(measured, float):
        return abs(recorded - measured) <= TOLERANCE
    if isinstance(measured, list) and isinstance(measured[0], list):  # codes, to two decimals
        return torch.allclose(torch.tensor(recorded), torch.tensor(measured), rtol=0, atol=0.011)
    return recorded == measured


@pytest.fixture(autouse=True)
def place(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("record", "run"), list(quick_records()))
def test_a_record_is_what_its_model_gives(record, run):
    if not at_hand(record["dataset"]):
        pytest.skip(f"{record['dataset']} is not here")
    if "features" in record:  # else it would be trained and written now
        assert (RECORDS / "classifiers" / f"{record['dataset']}.pt").exists()
    assert disagreement(record, run) == {}


def digits_record():
    return load("vae-1-digits").content, "vae-1-digits"


def test_one_record_can_be_recomputed_anywhere():
    """Of data that every installation has."""
    assert any(param.id == "vae-1-digits" for param in quick_records())


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        ("figure", lambda value: value - 0.01),
        ("standard_error", lambda value: value / 2),
        ("estimator", lambda value: "exact"),
        ("binarization", lambda value: "fixed"),
    ],
)
def test_a_record_that_was_edited_by_hand_is_found_out(key, edit):
    record, run = digits_record()
    assert list(disagreement(record | {key: edit(record[key])}, run)) == [key]


def test_a_figure_of_fewer_images_is_found_out():
    record, run = digits_record()
    assert "figure" in disagreement(record | {"images": 180}, run)


# ---------------------------------------------------------------- what is kept


def weights():
    return sorted(RECORDS.glob("models/*.pt"))


def test_kept_weights_are_small_and_float16():
    """Half a megabyte a model, eight in all; the record says what they are."""
    assert sum(file.stat().st_size for file in weights()) < 8e6
    for file in weights():
        states = read_models(file)
        assert load(file.stem)["weights"] == "float16"
        for state in states.values():
            weights_of = [value for value in state.values() if value.is_floating_point()]
            assert {value.dtype for value in weights_of} == {torch.float16}  # others are indices
            assert sum(value.nbytes for value in state.values()) <= KEPT


@pytest.mark.parametrize("run", [file.stem for file in weights()])
def test_a_kept_model_is_loaded_without_data_as_float32(monkeypatch, run):
    monkeypatch.setattr(data, "load", None)
    record = load(run)
    setting = record.settings[0] if "settings" in record.content else None
    before = torch.get_rng_state()
    model = record.model(setting)
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    if hasattr(model, "sample"):
        made = model.sample(3, **given(model, torch.arange(3)))
    elif hasattr(model, "score"):
        made = model.denoise(torch.zeros(3, *model.shape), 0.5)
    elif hasattr(model, "energy"):
        made = torch.zeros(3, *record["shape"])
        assert model.energy(made).shape == (3,)
    else:
        made = model.decode(torch.zeros(3, 16))
    assert made.shape == (3, *record["shape"])


KEEPS = [file.stem for file in RECORDS.rglob("*.json") if '"examples"' in file.read_text("utf-8")]


def test_kept_images_are_grey_or_binary():
    assert {"conv-vae", "pixelcnn-small"} <= set(KEEPS)
    assert len(load("conv-vae").examples.unique()) > 100
    assert load("pixelcnn-small").examples.unique().tolist() == [0, 1]


@pytest.mark.parametrize("run", KEEPS)
def test_kept_images_are_what_the_model_takes(run):
    record = load(run)
    images = record.examples
    assert images.shape[1:] == tuple(record["shape"])
    assert len(images.unique(dim=0)) == len(images) >= 10
    assert images.min() == 0 and 0.9 < images.max() <= 1


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ("vae-1-digits", "VAE 64-100-100-20, ELBO, k = 1: 500 epochs in 0.5 minutes on CPU (1 "),
        ("few-labels-mnist-mlp-15min", "5 draws of labels, 1,357 updates each in 19.8 minutes"),
    ],
)
def test_every_kind_of_record_says_where_it_comes_from(run, says):
    record = load(run)
    assert record.provenance.startswith(says)
    assert record["date"] in record.provenance and record["commit"][:12] in record.provenance
    budget = " BUDGET=15" if run.endswith("15min") else ""
    assert record.provenance.endswith(f": make reproduce NAMES={record['name']}{budget}")


# ---------------------------------------------------------------- studies

STUDIES = [name for name, experiment in EXPERIMENTS.items() if isinstance(experiment, Study)]
# Rounding, by another processor or to float16, moves a draw by a thousandth of its size: of a
# thousand draws a few cross the border of a mode, and a mode with about ten of them may be lost.
# It may also turn a bit that is drawn in training, and in 250 updates of a network it grows: bounds
# and likelihoods then differ by some hundredths of a nat. Of 10,000 test images a few lie so near a
# border between classes that a rounded weight puts them on the other side.
NATS = ("rate", "ELBO", "p(x)", "objective", "validation", "test", "order", "mixed")
# Exact divergences of flows and energies, and a flow's mass between modes, which still fall fast in
# the first round, differ by a tenth then, and so does what is measured of draws by few steps: the
# objective alone is compared.
STILL_FALLING = ("KL", "far from modes", "Fisher divergence", "MMD", "straightness", "cost")
# Bounds of a convolutional flow, in bits per dimension, move by half a hundredth.
BITS = ("bound", "bound of 100", "32 draws")
# A divergence moves by thousandths where it is some nats; a Fisher divergence of sharp modes is a
# hundred.
BY_ROUNDING = {
    "modes": 1,
    "good": 0.005,
    "error": 0.1,
    "KL": 0.005,
    "divergence": 0.1,
    **dict.fromkeys(NATS, 0.05),
    **{metric.split()[-1]: 0.02 for metric in BITS},
}


def beyond_rounding(metric: str, recorded: float, measured: float) -> bool:
    return abs(recorded - measured) > BY_ROUNDING.get(metric.split()[-1], TOLERANCE) + 1e-9


@contextmanager
def threads_of(record):
    """As many as the record had: with another number, sums come in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(record["threads"])
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", STUDIES)
def test_the_first_updates_of_a_study_are_those_of_its_record(name):
    """One round of the last setting and its last seed."""
    record, study = load(name), EXPERIMENTS[name]
    if not at_hand(study.dataset):
        pytest.skip(f"{study.dataset} is not here")
    setting = record.settings[-1]
    seed = record["settings"][setting]["seeds"][-1]
    with threads_of(record):
        _, history = study.train(setting, seed, study.load(), rounds=1)
    compared = [metric for metric in record.metrics if not metric.endswith(STILL_FALLING)]
    first = {metric: record.curves(setting, metric)[-1, 0].item() for metric in compared}
    again = {metric: history[metric][0] for metric in compared}
    assert not [m for m in first if beyond_rounding(m, first[m], again[m])], (first, again)


@pytest.mark.parametrize("name", [name for name in STUDIES if EXPERIMENTS[name].weights])
def test_the_last_values_of_a_study_are_those_of_its_models(name):
    """All settings, all seeds."""
    record, study = load(name), EXPERIMENTS[name]
    if not at_hand(study.dataset):
        pytest.skip(f"{study.dataset} is not here")
    dataset = study.load()
    for setting, seed in product(record.settings, range(study.seeds)):
        torch.manual_seed(MEASURING_SEED)
        measured = study.measure(record.model(setting, seed), dataset)
        for metric, value in measured.items():
            recorded = record.curves(setting, f"{study.watched[0]} {metric}")[seed, -1].item()
            assert not beyond_rounding(metric, recorded, value), (setting, seed, metric)


@pytest.mark.parametrize("name", STUDIES)
def test_the_figures_of_a_study_are_the_spread_of_its_last_values(name):
    record = load(name)
    for setting, metric in product(record.settings, record.metrics):
        mean, deviation = record.spread(setting, metric)
        figure = record["settings"][setting]["figures"][metric]
        assert figure["mean"] == pytest.approx(mean[-1].item(), rel=1e-5)
        assert figure["deviation"] == pytest.approx(deviation[-1].item(), rel=1e-4, abs=1e-6)


# ---------------------------------------------------------------- the final comparison

COMPARED = [name for name in FAMILIES if (RECORDS / f"{name}.json").exists()]
KEPT_FAMILIES = [(name, family) for name in COMPARED for family in FAMILIES[name].keeps]


def scored_of(record) -> dict[str, dict]:
    """The lines of the families that have bits."""
    return {f: line for f, line in record["settings"].items() if line["kind"]}


@pytest.mark.parametrize("name", COMPARED)
def test_the_figures_of_families_are_the_means_of_their_seeds(name):
    record, plan = load(name), FAMILIES[name]
    assert record.settings == [*plan.families]
    assert record.updates[-1] == plan.updates and record["images"] == plan.images
    for family, line in record["settings"].items():
        assert line["seeds"] == [*range(plan.seeds)]
        assert line["kind"] == plan.families[family].kind
        assert line["model"] == plan.families[family].about
        for found in line["measures"].values():
            again = over_seeds([*zip(found["values"], found["errors"], strict=True)])
            assert again["mean"] == pytest.approx(found["mean"], rel=1e-4, abs=1e-6)
            assert again["error"] == pytest.approx(found["error"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", COMPARED)
def test_the_bits_of_families_are_those_of_their_images(name):
    record = load(name)
    scored = scored_of(record)
    best = min(scored, key=lambda f: scored[f]["measures"][judging.BITS]["mean"])
    for line in scored.values():
        each = torch.tensor(line["bits by image"])
        assert len(each) == record["images"]
        bits = line["measures"][judging.BITS]
        assert each.mean().item() == pytest.approx(bits["values"][0], abs=1e-3)
        error = each.std().item() / len(each) ** 0.5
        assert error == pytest.approx(bits["errors"][0], abs=1e-3, rel=1e-3)
        difference = bits["mean"] - scored[best]["measures"][judging.BITS]["mean"]
        assert line["paired"]["to"] == best
        assert line["paired"]["difference"] == pytest.approx(difference, abs=1e-3)


@pytest.mark.parametrize("name", COMPARED)
def test_no_two_seeds_of_a_family_are_one_network(name):
    """Two equal numbers of trained families would give it away."""
    for line in load(name)["settings"].values():
        if line["updates"]:
            values = line["measures"]["Fréchet distance"]["values"]
            assert len(set(values)) == len(values)
            assert all(len({*map(tuple, seeds)}) == len(seeds) for seeds in line["curves"].values())


@pytest.mark.parametrize(("name", "family"), KEPT_FAMILIES)
def test_a_family_is_what_its_kept_model_gives(name, family):
    """All measures of seed 0. Rounding may turn a draw, and a tree of the forest after it."""
    record, plan = load(name), FAMILIES[name]
    with threads_of(record):
        found = plan.measure(family, 0, record.model(family), data.load(plan.dataset))
    line = record["settings"][family]
    assert found["parameters"] == line["parameters"]
    if family in scored_of(record):
        each = torch.tensor(found["bits"]) - torch.tensor(line["bits by image"])
        assert each.abs().max() <= 2 * TOLERANCE
    for metric, (value, error) in found["measures"].items():
        recorded = line["measures"][metric]["values"][0]
        if metric == judging.BITS:
            assert abs(value - recorded) <= TOLERANCE
        elif metric != judging.MILLISECONDS:
            assert abs(value - recorded) <= 0.5 * error + 1e-6, metric


@pytest.mark.parametrize("family", ["MADE", "VQ-VAE", "diffusion", "GAN"])
def test_the_first_updates_of_a_family_are_those_of_its_record(family):
    """A tenth of them, of the last seed."""
    record, plan = load("families-digits"), FAMILIES["families-digits"]
    with threads_of(record):
        _, course = plan.train(family, plan.seeds - 1, data.load(plan.dataset), rounds=1)
    for metric, curves in record["settings"][family]["curves"].items():
        first = course.histories[0][metric][0]
        assert first == pytest.approx(curves[-1][0], rel=0.01), metric


# ---------------------------------------------------------------- energies and scores


def test_the_figure_of_a_machine_is_its_energy_and_the_log_z_of_its_record():
    """Counting takes minutes, and is not repeated; that the lower bound is one can be seen soon."""
    record = load("rbm")
    if not at_hand("mnist"):
        pytest.skip("mnist is not here")
    model, log_z = record.model(), record["log_z"]["estimate"]
    test = next(iter(data.load("mnist").test.batches(10_000, False, binarize="fixed")))[0]
    figure = model.energy(test).mean().item() + log_z
    assert record["figure"] == pytest.approx(figure, abs=TOLERANCE)
    torch.manual_seed(0)
    below = ais(RBMPath(model, test[:1000]), torch.linspace(0, 1, 101), chains=20)
    assert below.mean() < record["log_z"]["low"] < log_z < record["log_z"]["high"]


def test_the_draws_of_a_machine_stand_where_its_energy_is_low():
    record = load("rbm")
    model = record.model()
    for kind in ("from_rates", "from_coins"):
        draws = unpacked(record[kind], record["shape"])
        noise = draws.flatten(1)[:, torch.randperm(784)].reshape(draws.shape)  # as much ink
        assert model.energy(draws).max() < model.energy(noise).min() - 50


def test_the_chains_of_the_score_network_end_where_they_did():
    record = load("score-network")
    model = record.model()
    torch.manual_seed(0)
    found = energies.along(model, energies.PICTURED)[-1]
    last = unpacked(record["along"], record["shape"])[-energies.PICTURED :]
    assert record["sigmas"][-1] < 0.1 and (found - last).abs().mean() < 0.004


# ---------------------------------------------------------------- codes of symbols


def test_the_symbols_of_the_vq_vae_say_what_its_record_says():
    """All test images by one code; for the first of them the search, which draws nothing, and other
    draws around what it finds, which for a single image may differ by a nat or two."""
    if not at_hand("mnist"):
        pytest.skip("mnist is not here")
    record, dataset = load("vq-vae"), data.load("mnist")
    model, x = record.model(), vq_vae.binary(dataset, 10_000)
    rate, distortion = rate_distortion(model, x)
    assert record["rate"] == pytest.approx(rate, abs=0.02)
    assert record["distortion"] == pytest.approx(distortion, abs=0.02)
    assert record["figure"] == pytest.approx(rate + distortion, abs=0.02)
    torch.manual_seed(0)
    nats, found = record["searched"]["nats"], vq_vae.searched(model, x[:3])["nats"]
    for name, within in (("nearest_code", 0.02), ("best_code", 0.02), ("all_codes", 3.0)):
        assert found[name] == pytest.approx(nats[name][:3], abs=within), name


def test_the_first_updates_of_the_vq_vae_are_those_of_its_record():
    """A tenth of an epoch, the first of the first stage."""
    record, recipe = load("vq-vae"), EXPERIMENTS["vq-vae"]
    if not at_hand("mnist"):
        pytest.skip("mnist is not here")
    dataset, schedule = data.load("mnist"), recipe.full
    batches = dataset.train.batches(schedule.batch_size, binarize=recipe.binarization)
    updates, rounds = len(batches) // schedule.parts, len(record["objective"])
    assert rounds == schedule.epochs * schedule.parts
    with threads_of(record):
        step = recipe.start(dataset, partial(schedule.rate, steps=rounds * updates))
        history = train_rounds(step, batches, updates, progress=False)
    assert history["objective"][0] == pytest.approx(record["objective"][0], rel=2e-3)


def test_the_bits_of_the_masked_text_are_those_of_its_curves():
    """The bound in two ways, by random masks and by the number of hidden characters: two estimates
    of one number. Drawing in larger groups never costs less."""
    record = load("masked-text")
    bound = record.curves(masked_text.MASKED, "model bits")[:, -1]
    for curve, value in zip(record["by_hidden"], bound.tolist(), strict=True):
        by_size = [masked_text.of_groups(curve, size) for size in masked_text.PER_STEP]
        assert by_size[0] == pytest.approx(value, abs=0.04)
        assert by_size == sorted(by_size)
