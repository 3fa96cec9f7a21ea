"""Runs of chapters: what they depend on, that only those that ended are kept, and that pages and
nbval take those that are kept."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from io import StringIO
from pathlib import Path

import chapter_runs
import incremental
import nbformat
import pytest
from chapter_runs import ChapterError, Runs, key, run_missing, surroundings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from places import BOOK
from small_book import build
from sphinx.errors import ExtensionError

import dgm

PACKAGES = chapter_runs.packages


def notebook(*code: str, prose: str = "# Title", **metadata) -> dict:
    cells = [new_markdown_cell(prose, id="prose")]
    cells += [new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(code)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, **metadata})


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    """Settings of whoever tests are none of a small book's."""
    for name in ("CHAPTER", "FORCE", "DGM_DATASET", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DGM_DATA", str(tmp_path / "data"))
    for module in (chapter_runs, incremental):  # reading all that is installed takes a while
        monkeypatch.setattr(module, "packages", lambda: ["torch 2.11"])


# ---------------------------------------------------------------- the key


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A book, a library and a folder of data to change."""
    texts = {
        "dgm/__init__.py": "",
        "dgm/models/vae.py": "x = 1",
        "dgm/figures.js": "let x",
        "book/records/vae.json": "{}",
        "book/records/text/prose.txt": "words",
        "data/mnist.npz": "images",
        "mine.npz": "images",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(dgm, "__file__", str(tmp_path / "dgm" / "__init__.py"))
    monkeypatch.setenv("DGM_DATASET", str(tmp_path / "mine.npz"))
    return tmp_path


def code_changes(place, chapter, patch):
    chapter.cells[1].source = "x = 2"


def tag_changes(place, chapter, patch):
    chapter.cells[1].metadata["tags"] = ["raises-exception"]


def cell_comes(place, chapter, patch):
    chapter.cells.append(new_code_cell("y = 1"))


def kernel_changes(place, chapter, patch):
    chapter.metadata["kernelspec"]["name"] = "another"


def library_changes(place, chapter, patch):
    (place / "dgm/models/vae.py").write_text("x = 2")


def library_grows(place, chapter, patch):
    (place / "dgm/models/gan.py").write_text("")


def library_loses_a_script(place, chapter, patch):
    (place / "dgm/figures.js").unlink()


def record_changes(place, chapter, patch):
    (place / "book/records/vae.json").write_text("[]")


def text_among_the_records_changes(place, chapter, patch):
    (place / "book/records/text/prose.txt").write_text("other words")


def data_file_is_another(place, chapter, patch):
    (place / "data/mnist.npz").write_text("more images")


def data_file_is_as_long(place, chapter, patch):
    (place / "data/mnist.npz").write_text("IMAGES")
    os.utime(place / "data/mnist.npz", (1, 1))


def data_file_comes(place, chapter, patch):
    (place / "data/cifar10.npz").write_text("images")


def own_data_change(place, chapter, patch):
    (place / "mine.npz").write_text("more images")


def data_set_is_another(place, chapter, patch):
    patch.setenv("DGM_DATASET", "mnist")
    (place / "mine.npz").rename(place / "data" / "mine.npz")  # as many files, as they were


def device_is_another(place, chapter, patch):
    patch.setattr(dgm, "device", lambda: "cuda")


def python_is_another(place, chapter, patch):
    patch.setattr(sys, "version", "4.0.0")


def a_package_is_newer(place, chapter, patch):
    patch.setattr(chapter_runs, "packages", lambda: ["torch 2.12"])


def this_program_changes(place, chapter, patch):
    program = place / "program.py"
    program.write_text("")
    patch.setattr(chapter_runs, "__file__", str(program))


CHANGES = [
    code_changes,
    tag_changes,
    cell_comes,
    kernel_changes,
    library_changes,
    library_grows,
    library_loses_a_script,
    record_changes,
    text_among_the_records_changes,
    data_file_is_another,
    data_file_is_as_long,
    data_file_comes,
    own_data_change,
    data_set_is_another,
    device_is_another,
    python_is_another,
    a_package_is_newer,
    this_program_changes,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_all_that_a_run_depends_on_changes_its_key(place, monkeypatch, change):
    book, chapter = place / "book", notebook("x = 1")
    before = key(chapter, surroundings(book))
    change(place, chapter, monkeypatch)
    assert key(chapter, surroundings(book)) != before


def test_what_a_run_does_not_depend_on_leaves_its_key(place):
    book, chapter = place / "book", notebook("x = 1")
    before = key(chapter, surroundings(book))
    chapter.cells[0].source = "# Other words"
    chapter.cells[1].metadata["mystnb"] = {"figure": {"caption": "What to see"}}
    chapter.cells[1].outputs = [new_output("stream", text="1")]
    (place / "dgm" / "__pycache__").mkdir()
    (place / "dgm" / "__pycache__" / "vae.cpython-312.pyc").write_text("")
    (book / "page.md").write_text("# Page")
    assert key(chapter, surroundings(book)) == before


def test_all_packages_count_by_their_versions():
    found = PACKAGES()
    assert {f"{name} {metadata.version(name)}" for name in ("torch", "nbclient")} <= set(found)
    assert not any(line.startswith("dgm ") for line in found)


def test_what_a_program_adds_to_its_path_does_not_count(monkeypatch, tmp_path):
    before, vendored = PACKAGES(), tmp_path / "vendored" / "extra-1.0.dist-info"
    vendored.mkdir(parents=True)
    vendored.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(vendored.parent)])
    assert metadata.version("extra") == "1.0"
    assert PACKAGES() == before


# ---------------------------------------------------------------- running


def write(folder: Path, **notebooks: dict) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.ipynb" for name in notebooks]
    for path in paths:
        path.write_text(json.dumps(notebooks[path.stem]))
    return paths


def test_a_chapter_that_fails_is_not_kept_and_one_that_ends_is(tmp_path):
    """With kernels, as in the book."""
    book, runs = tmp_path / "book", Runs(tmp_path / "runs")
    chapters = write(book, a=notebook("print(6 * 7)"), b=notebook("x = 0", "1 / x"))
    with pytest.raises(ChapterError, match="(?s)b.ipynb: .*1 / x.*ZeroDivisionError"):
        run_missing(chapters, book, runs)
    assert len(runs.all_of("a")) == 1 and runs.all_of("b") == []
    run = chapter_runs.read_run(runs.newest("a"))
    assert run.cells[1].outputs[0].text == "42\n" and run.metadata.run.seconds > 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_who_is_interrupted_stops_what_runs(tmp_path, monkeypatch):
    program, pid = tmp_path / "program.py", tmp_path / "pid"
    program.write_text(
        "import os, sys, time\nopen(sys.argv[2], 'w').write(f'{os.getpid()} ')\ntime.sleep(300)"
    )
    monkeypatch.setattr(chapter_runs, "__file__", str(program))

    async def interrupted():
        run = asyncio.create_task(chapter_runs.in_a_process(tmp_path / "a.ipynb", pid, {}))
        while not (pid.exists() and pid.read_text().endswith(" ")):
            await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(interrupted())
    assert not alive(int(pid.read_text()))


def test_a_build_that_is_ended_ends_its_chapters(tmp_path, monkeypatch):
    """`kill` sends SIGTERM, of which Python makes no exception by itself."""
    ended = []

    async def run(path, target, threads):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(300)
        finally:
            ended.append(path.stem)

    monkeypatch.setattr(chapter_runs, "in_a_process", run)
    [chapter] = write(tmp_path / "book", a=notebook("x = 1"))
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody heard it"))
    with pytest.raises(asyncio.CancelledError):
        chapter_runs.run_side_by_side({chapter: "1"}, Runs(tmp_path / "runs"), lambda _: None)
    signal.signal(signal.SIGTERM, before)
    assert ended == ["a"]


def test_the_longest_come_first_and_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter_runs, "cores", lambda: 4)
    begun, at_once = [], []

    async def run(path, target, threads):
        begun.append(path.stem)
        at_once.append(path.stem)
        assert threads == {"OMP_NUM_THREADS": "2"} and len(at_once) <= 2
        await asyncio.sleep(0.01)
        at_once.remove(path.stem)
        target.touch()

    monkeypatch.setattr(chapter_runs, "in_a_process", run)
    short, long = write(tmp_path / "book", a=notebook("x = 1"), b=notebook("x = 1\n" * 9))
    chapter_runs.run_side_by_side({short: "1", long: "2"}, Runs(tmp_path / "runs"), lambda _: None)
    assert begun == ["b", "a"]


# ---------------------------------------------------------------- pages


@pytest.fixture
def ran(monkeypatch):
    """The chapters that were run: a cell that says what it ran on, instead of kernels."""
    ran = []

    async def run(path, target, threads):
        executed = chapter_runs.read(path)
        for cell in executed.cells[1:]:
            if "fails" in cell.source:
                return "ValueError: it fails"
            said = f"RUN {len(ran)} {cell.source} on {os.environ.get('DGM_DATASET', 'digits')}"
            cell.outputs = [new_output("stream", text=said)]
        language = {"name": "python", "pygments_lexer": "python"}
        seconds = {"seconds": 41.6, "finished": 1.0}
        executed.metadata.update(run=seconds, language_info=language)
        target.write_text(json.dumps(executed))
        ran.append(path.stem)
        return None

    monkeypatch.setattr(chapter_runs, "in_a_process", run)
    return ran


INDEX = "# Index\n\n```{toctree}\na\nb\n```\n\nSee {doc}`a`.\n"
EXTENSIONS = ("incremental", "run_chapters", "reading_time")


def book(folder, a="x = 1", b="y = 1", prose="# A\n\nIt took {run-time}`a while`.", **files):
    """Build a book of two chapters: the warnings, and the pages by name."""
    files = {"index.md": INDEX} | files
    files |= {"a.ipynb": notebook(a, prose=prose), "b.ipynb": notebook(b, prose="# B")}
    return build(folder, files, *EXTENSIONS, parser="myst_nb")


def test_pages_show_runs_and_only_what_changed_is_run_again(tmp_path, ran):
    warnings, pages = book(tmp_path)
    assert warnings == "" and sorted(ran) == ["a", "b"]
    assert "x = 1 on digits" in pages["a"] and "It took 42 s." in pages["a"]

    warnings, pages = book(tmp_path, prose="# A\n\nIn other words, {run-time}`a while`.")
    assert warnings == "" and len(ran) == 2
    assert "other words, 42 s." in pages["a"] and "x = 1 on digits" in pages["a"]

    _, pages = book(tmp_path, b="y = 2")
    assert ran[2:] == ["b"] and "y = 2 on digits" in pages["b"]


def test_a_part_that_is_called_otherwise_is_so_in_every_sidebar(tmp_path, ran):
    for caption in ("Foundations", "Beginnings"):
        index = INDEX.replace("{toctree}\n", f"{{toctree}}\n:caption: {caption}\n\n")
        _, pages = book(tmp_path, **{"index.md": index})
        assert caption in pages["a"] and caption in pages["b"]


def test_a_page_follows_the_data_set_there_and_back(tmp_path, ran, monkeypatch):
    for data, runs in (("digits", 2), ("mnist", 4), ("digits", 4)):
        monkeypatch.setenv("DGM_DATASET", data)
        _, pages = book(tmp_path)
        assert f"x = 1 on {data}" in pages["a"] and len(ran) == runs


def test_force_runs_all_again_and_pages_show_it(tmp_path, ran, monkeypatch):
    book(tmp_path)
    monkeypatch.setenv("FORCE", "1")
    _, pages = book(tmp_path)
    assert sorted(ran[2:]) == ["a", "b"] and ("RUN 2" in pages["a"] or "RUN 3" in pages["a"])


def test_a_failing_chapter_fails_every_build_until_it_is_mended(tmp_path, ran):
    for _ in range(2):
        with pytest.raises(ExtensionError, match="b.ipynb: ValueError: it fails"):
            book(tmp_path, b="fails")
    assert ran == ["a"]
    warnings, pages = book(tmp_path)
    assert warnings == "" and ran == ["a", "b"] and "y = 1 on digits" in pages["b"]


def test_one_chapter_leaves_the_others_as_they_are(tmp_path, ran, monkeypatch):
    book(tmp_path)
    monkeypatch.setenv("CHAPTER", "a")
    warnings, pages = book(tmp_path, a="x = 2", b="y = 2")
    assert warnings == "" and ran[2:] == ["a"]
    assert "x = 2 on" in pages["a"] and "y = 1 on" in pages["b"]
    monkeypatch.delenv("CHAPTER")
    _, pages = book(tmp_path, a="x = 2", b="y = 2")
    assert ran[3:] == ["b"] and "y = 2 on" in pages["b"]


def test_a_chapter_that_changes_while_it_runs_is_not_kept(tmp_path, ran, monkeypatch):
    run = chapter_runs.in_a_process

    async def run_and_edit(path, *rest):
        await run(path, *rest)
        path.write_text(path.read_text().replace("x = 1", "x = 2"))

    monkeypatch.setattr(chapter_runs, "in_a_process", run_and_edit)
    with pytest.raises(ExtensionError, match="a.ipynb: .*changed while it ran"):
        book(tmp_path)
    assert Runs(tmp_path / "runs").all_of("a") == []


def test_few_runs_of_a_chapter_are_kept(tmp_path, ran):
    runs, folder = Runs(tmp_path / "runs"), tmp_path / "book"
    for n in range(6):
        run_missing(write(folder, a=notebook(f"x = {n}")), folder, runs, lambda _: None)
    kept = runs.all_of("a")
    assert len(kept) == chapter_runs.KEPT
    assert chapter_runs.read_run(kept[-1]).cells[1].source == "x = 5"


# ---------------------------------------------------------------- builds of what changed


def test_what_is_wrong_is_said_in_every_build(tmp_path, ran):
    for _ in range(2):
        warnings, _ = book(tmp_path, **{"page.md": "---\norphan: true\n---\n# P\n\n{doc}`nowhere`"})
        assert "nowhere" in warnings
    assert sorted(ran) == ["a", "b"]


def test_a_new_title_is_shown_by_the_pages_that_did_not_change(tmp_path, ran):
    _, pages = book(tmp_path, prose="# Old title")
    assert "Old title" in pages["index"]
    _, pages = book(tmp_path, prose="# New title")
    assert "New title" in pages["index"] and "Old title" not in pages["index"]


def test_an_interrupted_build_is_made_good(tmp_path, ran, monkeypatch):
    from sphinx.builders.html import StandaloneHTMLBuilder

    book(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist.npz").touch()  # other runs, of unchanged sources
    with monkeypatch.context() as context:

        def interrupt(*_):
            raise KeyboardInterrupt

        context.setattr(StandaloneHTMLBuilder, "write_doc", interrupt)
        with pytest.raises(KeyboardInterrupt) as stopped:
            book(tmp_path)
    _, pages = book(tmp_path)  # in the same process, in which the interrupted one still stands
    assert stopped.traceback
    assert len(ran) == 4 and ("RUN 2" in pages["a"] or "RUN 3" in pages["a"])


def test_a_second_build_waits_for_the_first(tmp_path):
    first = (tmp_path / "lock").open("w")
    fcntl.flock(first, fcntl.LOCK_EX)
    said = []

    class Status(StringIO):
        """The first build ends when the second says that it waits."""

        def write(self, text):
            if "another build is at work here" in text:
                said.append(text)
                first.close()

    build(tmp_path, {"index.md": "# Index"}, "incremental", status=Status())
    assert said


# ---------------------------------------------------------------- nbval


def test_nbval_compares_runs_that_are_kept(tmp_path, monkeypatch):
    """The cells would fail: they are not run."""
    monkeypatch.setattr(chapter_runs, "packages", PACKAGES)  # as nbval's process finds them
    cell = new_code_cell("fails()", id="checked", execution_count=1)
    cell.metadata["tags"] = ["nbval-check-output", "keep_output"]
    cell.outputs = [new_output("stream", text="42\n")]
    chapter = notebook()
    chapter.cells += [new_code_cell("1 / 0", id="unchecked"), cell]
    good, bad = write(tmp_path / "book", good=chapter, bad=chapter)
    runs = Runs(tmp_path / "_build" / "runs")
    runs.folder.mkdir(parents=True)
    name = key(chapter, surroundings(good.parent))
    chapter.metadata["run"] = {"seconds": 3.0, "finished": 1.0}
    runs.path("good", name).write_text(json.dumps(chapter))
    cell.outputs = [new_output("stream", text="43\n")]
    runs.path("bad", name).write_text(json.dumps(chapter))
    options = ["-p", "conftest", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--kept-runs", str(good), str(bad)],
        env=os.environ | {"PYTHONPATH": f"{BOOK}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "good: passed unchanged, not run again" in result.stdout
    assert "1 failed, 3 passed" in result.stdout and "bad.ipynb::Cell 1" in result.stdout
    assert "bad: passed" not in result.stdout


# ---------------------------------------------------------------- the chapters

OPENS = ("open(", "read_text(", "read_bytes(", "glob(", "np.load(", "torch.load(")


@pytest.mark.parametrize("path", sorted(BOOK.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_chapter_opens_no_files_of_its_own(path):
    """Its run would not depend on them: data are loaded, records too, by the library."""
    chapter = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
    assert not [word for word in OPENS if word in code]
