# Popeye. `make help` lists what there is.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
GO          ?= go
FUZZTIME    ?= 10s
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT        := .bin/golangci-lint
VULN        := .bin/govulncheck

.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## a working poll on http://localhost:8080
	$(GO) run ./cmd/popeye

.PHONY: test
test: deps ## every test, with the race detector; installs what it needs
	$(GO) test -race -shuffle=on -timeout 20m ./...

.PHONY: check
check: lint vet tidy generated vuln ## lint, format, vet, tidy, generated files, known vulnerabilities

.PHONY: deps
deps: ## find or install what the tests need (a C compiler for -race, a browser)
	@scripts/deps cc chromium

.PHONY: lint
lint: $(LINT)
	$(LINT) fmt --diff
	$(LINT) run

.PHONY: fmt
fmt: $(LINT) ## format the code
	$(LINT) fmt

# Built from a module of their own, so that their dependencies are not Popeye's.
$(VULN): tools/go.mod tools/go.sum
	$(GO) build -C tools -o ../$(VULN) golang.org/x/vuln/cmd/govulncheck

$(LINT): tools/go.mod tools/go.sum
	$(GO) build -C tools -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: tidy
tidy:
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: generate
generate: ## write the files that are generated
	$(GO) run ./cmd/popeye docs > docs/config.md

.PHONY: generated
generated:
	@$(GO) run ./cmd/popeye docs | diff -u docs/config.md - || { echo 'docs/config.md is out of date: make generate'; exit 1; }

.PHONY: vuln
vuln: $(VULN)
	@scripts/vuln $(VULN)

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME (10s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## measure the figures of docs/performance.md (four minutes)
	@scripts/deps wrk
	$(GO) run ./test/bench

.PHONY: build
build: ## a static binary, dist/popeye
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/popeye ./cmd/popeye

.PHONY: cover
cover: ## which lines the tests reach
	@mkdir -p dist
	$(GO) test -coverprofile=dist/cover.out -coverpkg=./... ./...
	$(GO) tool cover -func=dist/cover.out | tail -1

.PHONY: clean
clean: ## remove what was made
	rm -rf .bin dist
