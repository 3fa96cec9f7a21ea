# Two commands matter: `make book` builds the course, `make test` tests all of it.
# Each sets up what it needs. PYTHON=python3.12 chooses the interpreter; without
# requirements.lock the newest versions that requirements.txt allows are installed.

PYTHON ?= python3
BIN := .venv/bin
python := "$(PYTHON:~/%=$(HOME)/%)"
unexport PYTHONPATH  # whose modules would come before the installed ones
# torch's threads otherwise spin while they wait: two notebooks at once on two cores then take
# twenty times as long (measured: 163 s against 8 s)
export OMP_WAIT_POLICY := PASSIVE
# Chapters run in book/, commands here: a relative path must mean the same to both. The library
# knows ~, and make's own functions for paths take a space for the end of one.
from_here = $(if $(filter /% ~%,$(firstword $(1))),$(1),$(CURDIR)/$(1))
ifdef DGM_DATA
override DGM_DATA := $(call from_here,$(value DGM_DATA))
export DGM_DATA
endif
ifneq ($(filter %.npz,$(lastword $(value DGM_DATASET))),)
override DGM_DATASET := $(call from_here,$(value DGM_DATASET))
export DGM_DATASET
endif
export PYTHONWARNINGS ?= ignore::DeprecationWarning
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# Two makes at once wait for each other: `python -c "$$ALONE" command` runs a command alone
define ALONE
import fcntl, os, sys
lock = os.open("Makefile", os.O_RDWR)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("another make is at work here: waiting for it", file=sys.stderr)
    fcntl.flock(lock, fcntl.LOCK_EX)
os.set_inheritable(lock, True)
os.execvp(sys.argv[1], sys.argv[1:])
endef
export ALONE

.PHONY: book known-chapter test serve pdf lab bench reproduce records-gpu assignment grade lock clean

# Chapters are run side by side, and only what changed since the last build (FORCE=1: all of them).
# CHAPTER=05-vae builds that chapter's page, the others as they are; SOLUTIONS=0 leaves solutions
# out, INSTRUCTOR=1 shows what is for instructors only
book: .venv/installed known-chapter  ## build the book: _build/html/index.html
	@$(BIN)/python -c "$$ALONE" $(BIN)/jupyter-book build book -W -n --keep-going
	@echo "open _build/html/index.html"

# nbval takes the runs that `make book` made; with FORCE=1, and in CI, it runs every chapter itself
NBVAL = $(BIN)/pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 600 \
	--nbval-kernel-startup-timeout 300 \
	$(if $(CI)$(filter 1,$(FORCE)),-n 2 --dist loadscope,--kept-runs)

ifndef CHAPTER
test: .venv/installed .venv/grading .venv/bench  ## lint, library, equations, exercises, then the built book, notebooks, pages
	$(BIN)/ruff check . && $(BIN)/ruff format --check lib tests book
	$(BIN)/pytest -n 2 --doctest-modules lib tests --ignore tests/book/test_site.py
	$(MAKE) book
	$(NBVAL) book
	$(BIN)/pytest tests/book/test_site.py
else
test: .venv/installed known-chapter  ## make test CHAPTER=05-vae: that chapter's equations, exercises, notebook, page
	$(BIN)/pytest -n 2 tests/equations tests/exercises/test_exercises.py tests/book/test_sources.py \
		-k "$(CHAPTER) or test_$(subst -,_,$(CHAPTER)).py"
	$(MAKE) book
	$(NBVAL) "book/$(CHAPTER).ipynb"
	$(BIN)/pytest tests/book/test_site.py -k "$(CHAPTER)"
endif

known-chapter:
	@test -z "$$CHAPTER" || test -f "book/$$CHAPTER.ipynb" || { \
		echo "CHAPTER: got $$CHAPTER, expected one of $(sort $(basename $(notdir $(wildcard book/*.ipynb))))" >&2; exit 2; }

serve: book  ## build, then serve the book at http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

pdf: book  ## the whole book as one file for paper: _build/deep-generative-models.pdf
	$(BIN)/python book/_ext/print_book.py _build/deep-generative-models.pdf

lab: .venv/installed  ## open your copies of the chapters, in work/; SOURCE=1: the chapters themselves
	$(if $(filter 1,$(SOURCE)),,@$(BIN)/python -m dgm.assignment.edition)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/$(if $(filter 1,$(SOURCE)),book,work)

bench: .venv/installed  ## speed, as ratios within one run, on a machine that does nothing else
	-@$(MAKE) --no-print-directory .venv/bench
	env -u OMP_WAIT_POLICY $(BIN)/python -m dgm.bench

reproduce: .venv/installed  ## recorded experiments: make reproduce NAMES="vae-1 iwae-50" BUDGET=15
	$(BIN)/python -m dgm.reproduce $(NAMES) $(addprefix --budget ,$(BUDGET)) $(addprefix --seeds ,$(SEEDS))

# What a large card is wanted for, in order of value, in 25 minutes. Each part may be stopped, and the
# same command goes on; commit book/records.
GPU_RECORDS := transformer pixelcnn iwae-50 vae-1 wgan-gp
records-gpu: .venv/installed  ## with one large GPU: its tests, the bench, the records it is wanted for
	@$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available() and "records-gpu: torch finds no CUDA device")'
	$(BIN)/pytest -m gpu tests/lib
	-@$(MAKE) --no-print-directory .venv/bench
	env -u OMP_WAIT_POLICY $(BIN)/python -m dgm.bench
	$(BIN)/python -m dgm.reproduce $(GPU_RECORDS) --budget 3

assignment: .venv/grading  ## make assignment CHAPTER=05-vae EXERCISES=vae-1,vae-3 OUTPUT=folder FORCE=1
	@$(BIN)/python -m dgm.assignment "$$CHAPTER" $${EXERCISES:+--exercises "$$EXERCISES"} \
		$${OUTPUT:+--output "$$OUTPUT"} $(if $(filter 1,$(FORCE)),--force)

grade: .venv/grading  ## grade what a class handed in: make grade CHAPTER=05-vae STUDENT=ada OUTPUT=folder
	@$(BIN)/python -m dgm.assignment.grade "$$CHAPTER" $${STUDENT:+--student "$$STUDENT"} \
		$${OUTPUT:+--output "$$OUTPUT"}

lock: .venv/grading .venv/bench  ## write down the versions that are installed now
	(echo '# The tested versions, which make uses as constraints; written by `make lock`.'; \
		$(BIN)/pip freeze --exclude-editable) > requirements.lock
	touch .venv/installed $^

clean:
	rm -rf .venv _build

# Programs in .venv know the folder that it was made in: those of a copied or moved clone would
# install into the old one and import its library
MOVED := $(shell made=$$(sed -n 's/^command = //p' .venv/pyvenv.cfg 2>/dev/null); \
	case "$$made" in ("" | *" $$(cd .venv && pwd -P)") ;; (*) echo moved ;; esac)
.PHONY: moved

.venv/installed: requirements.txt $(wildcard requirements.lock) pyproject.toml $(MOVED)
.venv/bench .venv/grading: .venv/installed

ifndef SET_UP_ALONE
.venv/installed .venv/bench .venv/grading:
	@$(python) -c "$$ALONE" $(MAKE) --no-print-directory SET_UP_ALONE=1 $@
else
.venv/installed:
	$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(python) -m venv $(if $(MOVED),--clear) .venv
	$(BIN)/pip install --upgrade --quiet pip
	$(BIN)/pip install --quiet -r requirements.txt $(addprefix -c ,$(wildcard requirements.lock))
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# others' libraries, which `make bench` measures beside our own and tests hold ours against; without
# one of them the benchmark says so
.venv/bench:
	@$(BIN)/pip install --quiet $(addprefix -c ,$(wildcard requirements.lock)) --editable '.[bench]' || \
		{ echo "other libraries are missing, and pip could not install them (see above)" >&2; exit 1; }
	touch $@

# nbgrader, which reading and building the book do not need
.venv/grading:
	@$(BIN)/pip install --quiet $(addprefix -c ,$(wildcard requirements.lock)) --editable '.[instructors]' || \
		{ echo "nbgrader is missing, and pip could not install it (see above); nothing was made" >&2; exit 1; }
	touch $@
endif
