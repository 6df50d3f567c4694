# Two commands: `make demo` and `make test` do all the set-up they need.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The peers of `make bench` live in environments of their own.
PEER := .venv-vectorbt
PEER_LSTM := .venv-pytorch
# The foreign clients that the tests drive against the local venues, too.
CLIENTS := .venv-clients
ANVIL := .anvil
ANVIL_VERSION := 1.7.1
PEER_CONSTRAINTS := tests/benchmarks/constraints-vectorbt.txt
PEER_LSTM_CONSTRAINTS := tests/benchmarks/constraints-pytorch.txt
CLIENT_CONSTRAINTS := tests/rehearsal/constraints-clients.txt

.PHONY: demo test test-long bench lint format clean

$(STAMP): pyproject.toml constraints.txt
	@sh tools/make-venv.sh $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev,ccxt,cluster,postgres,trading]'
	@touch $@

$(PEER)/.installed: $(PEER_CONSTRAINTS) tools/make-venv.sh
	@sh tools/make-venv.sh $(PEER)
	@$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(PEER_CONSTRAINTS) 'vectorbt[rust]'
	@touch $@

$(PEER_LSTM)/.installed: $(PEER_LSTM_CONSTRAINTS) tools/make-venv.sh
	@sh tools/make-venv.sh $(PEER_LSTM)
	@$(PEER_LSTM)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(PEER_LSTM_CONSTRAINTS) torch numpy
	@touch $@

$(CLIENTS)/.installed: $(CLIENT_CONSTRAINTS) tools/make-venv.sh
	@sh tools/make-venv.sh $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(CLIENT_CONSTRAINTS) \
		python-binance binance-sdk-derivatives-trading-usds-futures
	@touch $@

# A real Ethereum node for the tests; without npm they skip and say so.
$(ANVIL)/.installed: Makefile
	@if command -v npm >/dev/null 2>&1; then \
		npm install --silent --no-fund --no-audit --no-save --no-package-lock \
			--prefix $(ANVIL) '@foundry-rs/anvil@$(ANVIL_VERSION)' && touch $@; \
	else \
		echo "npm is not on PATH: tests against an Ethereum node will skip." >&2; \
		echo "Next: install it (Debian/Ubuntu: apt-get install npm; macOS: brew install node)." >&2; \
	fi

demo: $(STAMP)
	$(BIN)/counterpoise demo --out demo-out

test: $(STAMP) $(ANVIL)/.installed $(CLIENTS)/.installed lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-long: $(STAMP) $(ANVIL)/.installed $(CLIENTS)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m long

bench: $(STAMP) $(PEER)/.installed $(PEER_LSTM)/.installed
	$(BIN)/python -m tests.benchmarks.bench

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(PEER) $(PEER_LSTM) $(CLIENTS) $(ANVIL) demo-out .pytest_cache .mypy_cache .ruff_cache
