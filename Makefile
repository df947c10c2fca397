# What a person runs. `make demo` and `make test` set up all they need on a machine with Rust.

CARGO ?= cargo
# Tests need places where they can make the process fail, so the whole workspace is built with them.
TEST_FEATURES = --features weir-cli/failpoints
TARGET = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo test soak fuzz lint bench web setup

help:
	@echo "make demo    build, and start a server with live streams at http://127.0.0.1:8080"
	@echo "make test    everything that is tested"
	@echo "make soak    the long runs of the same tests"
	@echo "make fuzz    ten minutes each of the fuzz targets (nightly Rust and cargo-fuzz)"
	@echo "make lint    formatting and lints"
	@echo "make web     the console anew, from web/ into web/dist"
	@echo "make bench   what is measured, as a table (full release build first)"

demo:
	$(CARGO) run --locked -p weir-cli -- serve --demo

setup:
	bash tests/setup.sh

# The suite over the real binary runs the one that is built here, so it is built first.
test: setup
	$(CARGO) build --locked --workspace $(TEST_FEATURES)
	$(CARGO) test --locked --workspace $(TEST_FEATURES)

soak: setup
	$(CARGO) build --locked --workspace $(TEST_FEATURES)
	WEIR_SOAK=1 PROPTEST_CASES=5000 $(CARGO) test --locked --workspace $(TEST_FEATURES)

fuzz:
	cd sql && $(CARGO) +nightly fuzz run parse -- -max_total_time=600
	cd topics && $(CARGO) +nightly fuzz run batch -- -max_total_time=600
	cd server && $(CARGO) +nightly fuzz run frame -- -max_total_time=600
	cd server && $(CARGO) +nightly fuzz run postgres -- -max_total_time=600

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets $(TEST_FEATURES) -- -D warnings

bench: setup
	$(CARGO) build --locked --release --workspace
	$(TARGET)/release/weir-bench

# What is built is committed, so that a build of the server needs no npm. The types are those of a server of this source.
web: setup
	$(CARGO) build --locked -p weir-cli
	bash web/build.sh $(TARGET)/debug/weir
