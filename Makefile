# Everything runs in a virtual environment of its own: make needs Python 3.8 or later, and the network once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint fuzz mutants bench proto clean

demo: $(VENV)/demo
	$(BIN)/caffe-fuse check sample_nets/resnet20_cifar.prototxt sample_nets/resnet20_cifar.caffemodel || true
	mkdir -p demo
	$(BIN)/caffe-fuse fuse sample_nets/resnet20_cifar.prototxt sample_nets/resnet20_cifar.caffemodel -o demo/
	$(BIN)/python examples/digits_accuracy.py

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Long: the property tests with many more examples.
fuzz: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=fuzzing -k "property or fuzz"

# Applies deliberate faults to the package one at a time, and prints which test notices which.
mutants: $(VENV)/test
	$(BIN)/python tests/mutants.py

bench: $(VENV)/test
	$(BIN)/python benchmarks/fuse_speed.py
	$(BIN)/python benchmarks/forward_speed.py

# Rebuilds the compiled form of proto/caffe.proto that the package carries.
proto: $(VENV)/test
	$(BIN)/python proto/compile.py

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/demo: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/test: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@
