# Everything runs in its own virtual environment: make needs Python 3.8 or later, and the network once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The Caffe on PyPI is for Python 3.8 only; set PYTHON38 if none is found.
ORACLE := .venv-oracle
PYTHON38 ?=
# The wheels of atheris are for Linux only.
FUZZ := .venv-fuzz
FUZZ_SECONDS ?= 600
# Prints the lines and branches that the tests reach.
COVERAGE := --cov=caffe_fuse --cov-branch --cov-report=term:skip-covered
# Since which commit the faults count that a change touches; without one since the branch left origin/main.
REV ?=

.PHONY: demo picture test docs links anywhere lint fuzz fuzz-properties fuzz-text fuzz-caffemodel fuzz-hdf5 fuzz-structure
.PHONY: mutants mutants-touched stress oracle toolchains bench proto clean

NET := sample_nets/resnet20_cifar
demo: $(VENV)/demo
	$(BIN)/caffe-fuse check $(NET).prototxt $(NET).caffemodel || true
	mkdir -p demo
	$(BIN)/python examples/digits_accuracy.py
	$(BIN)/caffe-fuse fuse $(NET).prototxt $(NET).caffemodel -o demo/ --verify --html demo/resnet20_cifar.html
	$(BIN)/caffe-fuse verify $(NET).prototxt $(NET).caffemodel demo/resnet20_cifar_fused.prototxt \
	    demo/resnet20_cifar_fused.caffemodel
	@echo
	@echo "The page is demo/resnet20_cifar.html. Next, a model of yours:"
	@echo "    $(BIN)/caffe-fuse fuse NET.prototxt NET.caffemodel -o fused --verify --html fused.html"

test: lint
	$(BIN)/python -m pytest -n 2 $(COVERAGE)
	$(MAKE) --no-print-directory mutants-touched docs

# Long: the tests as on several other processors, to which BLAS, NumPy and OpenCV are restricted.
anywhere: $(VENV)/test
	$(BIN)/python tests/anywhere.py -n 2 --every-definition

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

# The site, in docs/_site: without network, and with warnings as errors.
docs: $(VENV)/docs
	$(BIN)/sphinx-build -q -n -W --keep-going docs docs/_site

# Whether the addresses of other sites are there: needs the network.
links: $(VENV)/docs
	$(BIN)/sphinx-build -q -b linkcheck docs docs/_site/links

# The picture of the README, from the page of the demo; needs Chromium.
CHROMIUM ?= chromium
picture: demo
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
	    --user-data-dir=$$(mktemp -d) --hide-scrollbars --window-size=1280,900 --screenshot=docs/page.png \
	    file://$(CURDIR)/demo/resnet20_cifar.html

# Long: searches for inputs that cause an internal error. One target: make fuzz-structure FUZZ_SECONDS=3600. Finds go
# to fuzz-finds/.
fuzz: fuzz-properties fuzz-text fuzz-caffemodel fuzz-hdf5 fuzz-structure

# The property tests with many more examples.
fuzz-properties: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=fuzzing -k "property or fuzz"

# Mutated bytes of prototxts and weight files, chosen by atheris by coverage; it cannot see the code of h5py.
fuzz-text fuzz-caffemodel: $(FUZZ)/ready
	$(FUZZ)/bin/python tests/fuzz/run.py $(@:fuzz-%=%) --guided --seconds $(FUZZ_SECONDS)

# Mutated nets with their weights, under every command with random options.
fuzz-hdf5 fuzz-structure: $(VENV)/test
	$(BIN)/python tests/fuzz/run.py $(@:fuzz-%=%) --seconds $(FUZZ_SECONDS)

# Long: applies deliberate faults to the package one at a time, and prints which test detects which.
mutants: $(VENV)/test
	$(BIN)/python tests/mutants/run.py

# Only those that a change touches, what is not committed included: REV=HEAD~3 says since when.
mutants-touched: $(VENV)/test
	$(BIN)/python tests/mutants/run.py --since $(REV) --at-most 40

# Installs a real Caffe 1.0 for the CPU, the judge of tests/oracle.py: `.venv/bin/python tests/oracle.py --nets 2000 --seed 1`.
oracle: $(ORACLE)/ready

# Installs the tools of vendors that PyPI has, each in its own virtual environment, and runs nets in them as they are and
# as `--target` writes them: downloads gigabytes, takes half an hour. One tool: make toolchains TOOLS=mnn
TOOLS ?=
toolchains: $(VENV)/test
	$(BIN)/python tests/toolchains/run.py --only "$(TOOLS)"

# Long: a thousand runs interrupted by a signal, and what they leave on the disk.
stress: $(VENV)/test
	$(BIN)/python tests/stress_outputs.py

bench: $(VENV)/test
	$(BIN)/python benchmarks/fuse_speed.py
	$(BIN)/python benchmarks/forward_speed.py

# Rebuilds the compiled form of proto/caffe.proto in the package.
proto: $(VENV)/test
	$(BIN)/python proto/compile.py

clean:
	rm -rf $(VENV) $(ORACLE) $(FUZZ) .toolchains fuzz-finds demo docs/_site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/demo: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[report]'
	touch $@

$(VENV)/test: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@

$(VENV)/docs: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[docs]'
	touch $@

$(ORACLE)/ready:
	@for python in $(PYTHON38) python3.8 $(HOME)/.pyenv/versions/3.8.*/bin/python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "no Python 3.8 here, which real Caffe needs: make oracle PYTHON38=/path/to/python3.8" >&2; exit 1; fi; \
	"$$found" -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install -q kendryte-caffe protobuf==3.20.3
	GLOG_minloglevel=2 $(ORACLE)/bin/python -c 'import caffe; print("Caffe", caffe.__version__)'
	touch $@

$(FUZZ)/ready: setup.cfg
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install -q -e '.[test]' atheris
	touch $@
