# make demo: the whole pipeline on a miniature corpus, on two CPU cores.   make test: all tests.
# Both first make the environment .venv from pinned versions; PYTHON=python3.11 chooses the Python (3.10-3.12).
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/installed
ESPNET := 202511

.PHONY: demo test venv
demo: venv
	./egs2/mini_zh_en/llmasr1/run.sh

test: venv
	$(VENV)/bin/python -m pytest -q tests

venv: $(STAMP)

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 10) <= v < (3, 13) else \
	    "make: this is Python %d.%d, allowed are 3.10 to 3.12: make PYTHON=python3.11 ..." % v[:2])'
	@echo "Making $(VENV); this downloads about 3 GB and takes some minutes"
	@$(PYTHON) -m venv $(VENV)
	@while sleep 8; do du -sm $(VENV) | sed 's/\t.*/ MB installed/'; done & trap "kill $$!" EXIT; \
	    $(VENV)/bin/python -m pip install -q setuptools==73.0.1 wheel && \
	    $(VENV)/bin/python -m pip install -c constraints.txt -e '.[synth,g2p,corpora,score,observe,test]'
	@$(VENV)/bin/python -c 'import sys; from importlib.metadata import version; v = version("espnet"); \
	    sys.exit(None if v == "$(ESPNET)" else "make: espnet is %s, not $(ESPNET): see constraints.txt" % v)'
	@touch $@
