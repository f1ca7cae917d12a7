# Every target makes the virtual environment it needs and uses it again; all that must be there is python3 and make.
#   make demo     the shop, a user who says no, and hostile guests
#   make test     the test suite                      make lint    ruff and mypy
#   make samples  build the sample programs anew      make bench   every promise, measured
#   make compat   the core of the suite against each supported wasmtime; compat-48 for one
#   make soak     the long forms of the tests         make clean   removes what the targets made
#   make conformance  judges this host by the suite   make mutants breaks this host, and sees which case notices
#   make conformance-daemon  the same through a daemon's socket        make fuzz  hostile bytes and modules, for long

PYTHON ?= python3
PIP = -m pip --disable-pip-version-check --quiet
VENV := .venv
RUN := $(VENV)/bin/python
WASMTIMES := 48 49 50
# What depends on wasmtime, and little else.
HOSTILE := abi cancellation cpu_clock cycles endings limits_of_a_call limits_of_a_program module_caps neighbours \
           program_calls properties scripted
CORE := tests/runtime/sandbox tests/runtime/abi tests/integration $(HOSTILE:%=tests/hostile/test_%.py)

.PHONY: demo test lint bench samples compat soak conformance conformance-daemon mutants fuzz clean
.PRECIOUS: .venv-wasmtime-%/.ready

demo: $(VENV)/.ready
	$(RUN) sample_programs/demo.py

test: $(VENV)/.test
	$(RUN) -m pytest --quiet --numprocesses auto --dist loadfile

lint: $(VENV)/.lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check --quiet .
	$(RUN) -m mypy

bench: $(VENV)/.bench
	$(RUN) -m benchmarks

samples: $(VENV)/.samples
	$(RUN) sample_programs/build.py

soak: $(VENV)/.test
	HOSTEL_LONG=1 $(RUN) -m pytest --quiet

conformance: $(VENV)/.ready
	$(RUN) -m runtime.cli conformance

conformance-daemon: $(VENV)/.ready
	$(RUN) -m runtime.cli conformance --daemon

fuzz: $(VENV)/.test
	$(RUN) tests/fuzz all --seconds 300
	$(RUN) tests/fuzz modules --count 5000
	$(RUN) tests/fuzz bundles --count 5000

mutants: $(VENV)/.test
	$(RUN) tests/mutation/protocol.py --generated

compat: $(WASMTIMES:%=compat-%)

compat-%: .venv-wasmtime-%/.ready
	.venv-wasmtime-$*/bin/python -m pytest --quiet --numprocesses auto --dist loadfile $(CORE)

clean:
	rm -rf $(VENV) .venv-wasmtime-* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that an environment holds what pyproject.toml asks for: the package itself, then one of its extras.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(PIP) install --editable .
	touch $@

$(VENV)/.%: $(VENV)/.ready
	$(RUN) $(PIP) install --editable '.[$*]'
	touch $@

.venv-wasmtime-%/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-wasmtime-$*
	.venv-wasmtime-$*/bin/python $(PIP) install --editable '.[test]'
	.venv-wasmtime-$*/bin/python $(PIP) install --no-deps 'wasmtime==$*.*'  # also one beyond the declared range
	touch $@
