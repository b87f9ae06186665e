# Every target does its own set-up in .venv; nothing has to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.PHONY: demo test serve lint bench corpus baseline train evaluate clean

demo: $(VENV)/.serving
	$(BIN)/nlp-compliance scan data/samples --format table
	$(BIN)/nlp-compliance scan data/samples --format html -o demo/report.html
	@echo "Report: demo/report.html"

test: $(VENV)/.development lint
	$(RUN) -m pytest

serve: $(VENV)/.serving
	$(RUN) serve.py

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.development
	$(RUN) -m benchmarks.run

corpus: $(VENV)/.development
	$(RUN) -m training.corpus build
	$(RUN) -m training.statistics

baseline: $(VENV)/.development
	$(RUN) -m training.baseline

# About an hour on two cores, from the pretrained encoder in training/encoder.
train: $(VENV)/.development
	$(RUN) -m training.finetune --out runs/finetune
	$(RUN) -m training.export --run runs/finetune

evaluate: $(VENV)/.development
	$(RUN) -m training.evaluate

$(VENV)/.serving: requirements.txt pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q -r requirements.txt
	$(RUN) -m pip install -q --no-deps -e .
	touch $@

$(VENV)/.development: $(VENV)/.serving training/requirements.txt tests/requirements.txt
	$(RUN) -m pip install -q torch==2.13.0
	$(RUN) -m pip install -q -r training/requirements.txt -r tests/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
