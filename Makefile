# Everything a developer or an operator does here, one target each.
SHELL := /bin/bash
BIN := bin
export CGO_ENABLED := 0
GOBUILD := go build -ldflags "-s -w"
BINARIES := tenon tenon-engine tenon-cell tenon-connector tenon-eval tenon-launcher tenon-starter
EXAMPLES := bookkeeper demo

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build all binaries into ./bin, showing progress.
	@mkdir -p $(BIN)
	@for b in $(BINARIES); do echo "building $$b"; $(GOBUILD) -o $(BIN)/$$b ./cmd/$$b || exit 1; done

.PHONY: build-examples
build-examples: build
	@for b in $(EXAMPLES); do $(GOBUILD) -o $(BIN)/$$b ./examples/$$b || exit 1; done

.PHONY: up
up: build ## Run everything on embedded defaults, under ./data.
	@exec $(BIN)/tenon up

.PHONY: demo
demo: build-examples ## Do the main job beside a running `make up`, printing each step.
	@exec $(BIN)/demo

.PHONY: test
test: build-examples ## Pass all tests, on SQLite and on PostgreSQL.
	@./.ci/deps
	@./.ci/test

.PHONY: test-cli
test-cli: build ## Drive runs with the real temporal CLI and tctl.
	go test -count=1 -timeout 20m ./tests/cli/...

.PHONY: test-browser
test-browser: build ## Use the Temporal UI in a real browser (Chromium).
	@./.ci/deps chromium
	go test -count=1 -timeout 10m -tags browser -run Browser ./tests/e2e

EVENTS ?= 10000
SEED ?= 0
DATABASE ?= .
.PHONY: chaos
chaos: build-examples ## Kill, stop and starve everything under load: EVENTS=10000 SEED=0 DATABASE=SQLite
	@case '$(DATABASE)' in ''|SQLite|PostgreSQL) ;; *) echo 'DATABASE is SQLite or PostgreSQL; both when it is left out' >&2; exit 2 ;; esac
	@./.ci/deps
	go test -count=1 -timeout 6h -tags chaos -v -run '^(TestChaos|TestCrashPoints|TestAClockSetBack)$$/$(DATABASE)' ./tests/e2e -args -events $(EVENTS) -seed $(SEED)

.PHONY: lint
lint: ## Run the linters at their pinned versions.
	./.ci/lint

.PHONY: generate
generate: ## Regenerate what is generated.
	./.ci/generate

.PHONY: verify
verify: ## Do what CI does: lint, regenerate and compare, test.
	./.ci/run

.PHONY: bench
bench: bench-platform bench-cells ## Measure the figures of docs/performance.md; writes bench.json.

.PHONY: bench-platform
bench-platform: build ## Measure all of them but the 1,000 cells; writes bench.json anew.
	@$(GOBUILD) -o $(BIN)/bookkeeper ./examples/bookkeeper && $(GOBUILD) -o $(BIN)/bench-baseline ./tests/bench/baseline
	go test -run '^$$' -bench '^BenchmarkPlatform$$' -benchtime 1x -timeout 15m ./tests/bench -args -out $(CURDIR)/bench.json

.PHONY: bench-cells
bench-cells: build ## Measure 1,000 organizations on this machine; adds to bench.json.
	go test -run '^$$' -bench '^BenchmarkCells$$' -benchtime 1x -timeout 60m ./tests/bench -args -out $(CURDIR)/bench.json

.PHONY: compose-smoke
compose-smoke: ## Run the compose file where a Docker engine exists.
	@mkdir -p $(BIN)
	docker compose up --build --wait
	docker compose cp api:/etc/tenon/tls/ca.pem $(BIN)/compose-ca.pem
	curl -fsS --cacert $(BIN)/compose-ca.pem https://localhost:8443/v1/ready
	docker compose down -v

.PHONY: clean
clean: ## Remove what was built; ./data stays.
	rm -rf $(BIN)
