# make demo: the whole pipeline on a miniature corpus, on two CPU cores.   make test: all tests.
# make site: the documents and the docstrings as build/site, with warnings and dead links as errors.
# All first make the environment $(VENV) from pinned versions. PYTHON=python3.12 chooses the Python (3.11-3.13), and
# with it ESPnet (see constraints.txt). VENV=.venv-other makes a second environment beside the first; TESTS=tests/asr
# chooses tests.
PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
JOBS ?= 2
STAMP := $(VENV)/installed

.PHONY: demo test site venv
demo: venv
	VENV=$(abspath $(VENV)) ./egs2/mini_zh_en/llmasr1/run.sh

test: venv
	VENV=$(abspath $(VENV)) $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile $(TESTS)

site: venv
	$(VENV)/bin/python local/build_site.py

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
