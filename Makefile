# hadamard_glue: `make help` lists the targets and what they take.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What `reproduce-table` takes. Lists have commas; what is not given is left to configs/experiment/.
PROFILE ?=
SOURCE ?=
DATA ?=
BACKBONE ?=
BACKBONES ?=
METHODS ?=
TASKS ?=
SEEDS ?=
RESULTS ?=
FORCE ?=
ARGS ?=
TORCH_INDEX ?=

comma := ,
space := $(subst ,, )
GLUE_FOLDERS := CoLA:cola SST-2:sst2 MRPC:mrpc STS-B:stsb QQP:qqp MNLI:mnli QNLI:qnli RTE:rte
folder_of = $(word 1,$(subst :, ,$(1)))
task_of = $(word 2,$(subst :, ,$(1)))
# the tasks whose folder stands in DATA, under its official name or the hub's
held := $(foreach pair,$(GLUE_FOLDERS),$(if $(wildcard $(DATA)/$(call folder_of,$(pair)) $(DATA)/$(call task_of,$(pair))),$(call task_of,$(pair))))

# a folder or a hub id (it has a slash) is a custom backbone, anything else the name of a config
is_path = $(or $(findstring /,$(1)),$(wildcard $(1)/config.json))
backbone_of = $(if $(call is_path,$(1)),backbone=custom 'backbone.path="$(1)"',backbone=$(1))
source_of = $(if $(SOURCE),source=$(SOURCE)) $(if $(DATA),'source.path="$(DATA)"')

# with nothing said about data or model it is the demo world
ifeq ($(PROFILE)$(SOURCE)$(DATA)$(BACKBONE),)
  profile := demo
  not_demo := $(filter-out demo_%,$(subst $(comma),$(space),$(BACKBONES)))
else
  profile := $(PROFILE)
endif

experiment := main_table
ifneq ($(not_demo),)
  mistake := $(firstword $(not_demo)) is no demo backbone: give PROFILE=paper BACKBONES=$(BACKBONES)
else ifeq ($(profile),demo)
  ifneq ($(SOURCE)$(DATA)$(BACKBONE),)
    mistake := PROFILE=demo makes its own rows and has its own backbones (BACKBONES=demo_bert narrows them): no SOURCE, DATA or BACKBONE
  endif
  experiment := demo_table,demo_control
  results := $(or $(RESULTS),results/demo)
  grid := $(if $(BACKBONES),backbone=$(BACKBONES))
  tasks := $(TASKS)
  seeds := $(SEEDS)
else ifeq ($(PROFILE),paper)
  results := $(or $(RESULTS),results/paper)
  grid := $(call backbone_of,$(or $(BACKBONES),$(BACKBONE),bert_base)) $(source_of) --require-gpu $(if $(filter 1,$(FORCE)),--force)
  tasks := $(TASKS)
  seeds := $(SEEDS)
else ifneq ($(PROFILE),)
  mistake := unknown PROFILE=$(PROFILE), there is: demo, paper
else ifeq ($(and $(SOURCE),$(BACKBONE),$(or $(DATA),$(filter-out directory,$(SOURCE)))),)
  mistake := reproduce-table needs SOURCE=directory DATA=FOLDER BACKBONE=FOLDER (GLUE files and a model), PROFILE=paper, or nothing at all (the demo world)
else
  results := $(or $(RESULTS),results/$(notdir $(BACKBONE:/=)))
  grid := $(call backbone_of,$(BACKBONE)) $(source_of)
  tasks := $(or $(TASKS),$(if $(DATA),$(subst $(space),$(comma),$(strip $(held)))))
  seeds := $(or $(SEEDS),1$(comma)2)
endif
# where `tables` looks when nothing says otherwise
results := $(or $(results),$(RESULTS),results/demo)

.PHONY: help install reproduce-table params-table tables test lint clean checked other-torch

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2} /^#\|/ {printf "  %-16s %s\n", "", substr($$0, 4)}' Makefile

install: $(STAMP) ## make .venv with the pinned packages; nothing to do when it is there
#| PYTHON=python3.12; TORCH_INDEX=URL: an index of CUDA wheels, torch is taken from there

# asking for another torch is a reason to install again
ifneq ($(TORCH_INDEX),)
ifneq ($(TORCH_INDEX),$(shell cat $(STAMP) 2>/dev/null))
$(STAMP): other-torch
endif
endif

$(STAMP): pyproject.toml constraints.txt
	@$(BIN)/python -c '' 2>/dev/null || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is not Python 3.11 or newer: give another with PYTHON=" >&2; exit 2; }; \
	  echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --force-reinstall --no-deps -c constraints.txt --index-url '$(TORCH_INDEX)' torch)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@echo '$(TORCH_INDEX)' > $@

reproduce-table: checked $(STAMP) ## the main table: trains what has no record yet, then renders; call it again to go on
#| alone, or with PROFILE=demo: demo, synthetic tasks and tiny backbones, nothing downloaded; SEEDS=1 unless given
#| SOURCE=directory DATA=glue-folder BACKBONE=model-folder (or a config's name), tasks: those in DATA, SEEDS=1,2
#| PROFILE=paper: BACKBONES=bert_base, all eight tasks from the hub, seeds 1,2,3; wants a CUDA device or FORCE=1
#| BACKBONES= METHODS= TASKS= SEEDS= (with commas) RESULTS=folder; ARGS="more overrides, --plan"
	$(BIN)/hadamard-glue grid experiment=$(experiment) $(strip $(grid) $(if $(METHODS),method=$(METHODS)) \
	  $(if $(tasks),task=$(tasks)) $(if $(seeds),seed=$(seeds))) 'results_dir="$(results)"' $(ARGS)

# before the install, which takes minutes
checked:
	@: $(if $(mistake),$(error $(mistake)))

params-table: $(STAMP) ## parameters of backbones and methods, counted from the configs; BACKBONES= METHODS= RESULTS=
	$(BIN)/hadamard-glue params $(if $(BACKBONES),backbone=$(BACKBONES)) $(if $(METHODS),method=$(METHODS)) 'results_dir="$(or $(RESULTS),results/parameters)"' $(ARGS)

tables: $(STAMP) ## render the records of RESULTS=folder again, without training
	$(BIN)/hadamard-glue tables 'results_dir="$(results)"' $(ARGS)

test: $(STAMP) ## all tests, offline; ARGS= goes to pytest
	HF_HUB_OFFLINE=1 WANDB_MODE=disabled $(BIN)/python -m pytest $(ARGS)

lint: $(STAMP) ## ruff (rules and format) and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

clean: ## remove what the tools leave behind; .venv and results stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find hadamard_glue configs tests -name __pycache__ -type d -prune -exec rm -rf {} +
