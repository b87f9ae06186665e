# Every target does its own set-up in .venv; nothing has to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.PHONY: demo test serve lint fixtures mixed ocr memory bench load corpus baseline train evaluate clean

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

# Pictures of tests/fixtures anew; needs a font with Chinese characters.
fixtures: $(VENV)/.development
	$(RUN) -m tests.make_fixtures

# A folder of every format, bad files among them, scanned and reported.
mixed: $(VENV)/.development
	$(RUN) -m tests.ingest.mixed demo/mixed
	$(BIN)/nlp-compliance scan demo/mixed -o demo/mixed.jsonl
	$(BIN)/nlp-compliance report demo/mixed.jsonl -o demo/mixed.html

# Character accuracy of OCR on the fixtures, and the posters with their boxes drawn.
ocr: $(VENV)/.development
	$(RUN) -m tests.ingest.accuracy --boxes demo/boxes

# Memory of a scan of a million rows.
memory: $(VENV)/.development
	$(RUN) -m benchmarks.memory

# About twenty minutes on two cores that have nothing else to do; writes docs/benchmarks.md.
bench: $(VENV)/.bench
	$(RUN) -m benchmarks.run

# 50 callers for five minutes; CALLERS and DURATION (in seconds) change that.
load: $(VENV)/.development
	$(RUN) -m benchmarks.load --callers $(or $(CALLERS),50) --seconds $(or $(DURATION),300)

corpus: $(VENV)/.development
	$(RUN) -m training.corpus build
	$(RUN) -m training.statistics

baseline: $(VENV)/.development
	$(RUN) -m training.baseline

# From the pretrained encoder in training/encoder; some two hours on two cores with bfloat16 units, three or four without, minutes on a GPU.
train: $(VENV)/.development
	$(RUN) -m training.finetune --out runs/finetune --rate 4e-4 --muon 8e-4 --blank 0.08 --augment 0.45 --crowds 0.1 --batch-tokens 6144 --epochs 4 --compile
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

# Presidio, with which the product is compared, brings spaCy and gets an environment of its own.
$(VENV)/.bench: $(VENV)/.development
	$(RUN) -m pip install -q pyahocorasick==2.3.1
	$(PYTHON) -m venv $(VENV)/presidio
	$(VENV)/presidio/bin/python -m pip install -q presidio-analyzer==2.2.366
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
