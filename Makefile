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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## a working poll on http://localhost:8080
	$(GO) run ./cmd/popeye

.PHONY: up-local
up-local: build ## the distributed Popeye on http://localhost:8080, without containers
	@scripts/deps redis-server postgres
	$(GO) run ./internal/local/up --popeye dist/popeye

.PHONY: secrets
secrets: ## random secrets for compose.yaml, once, into ./secrets
	@scripts/secrets secrets

.PHONY: test
test: deps .bin/helm ## every test, with the race detector; installs what it needs
	$(GO) test -race -shuffle=on -timeout 20m ./...

.PHONY: check
check: lint vet tidy generated chart vuln ## lint, format, vet, tidy, generated files, the chart, known vulnerabilities

.PHONY: deps
deps: ## find or install what the tests need (a C compiler for -race, a browser, Redis, PostgreSQL)
	@scripts/deps cc chromium redis-server postgres

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

.bin/helm .bin/kubeconform .bin/schemas &: tools/chart/go.mod tools/chart/go.sum tools/chart/schemas/main.go
	$(GO) build -C tools/chart -o ../../.bin/ helm.sh/helm/v3/cmd/helm github.com/yannh/kubeconform/cmd/kubeconform ./schemas
	@touch .bin/helm .bin/kubeconform .bin/schemas

.bin/kube-score: tools/score/go.mod tools/score/go.sum
	$(GO) build -C tools/score -o ../../.bin/kube-score github.com/zegl/kube-score/cmd/kube-score

.PHONY: chart
chart: ## lint the chart, and check what it renders
	@scripts/chart check

.PHONY: manifests
manifests: ## write the manifests that are rendered from the chart
	@scripts/chart manifests

.PHONY: crds
crds: ## take the definitions of Traefik's kinds from its module
	@scripts/crds

.PHONY: kind-up
kind-up: image ## Popeye on a cluster of three nodes in Docker
	@scripts/kind up

.PHONY: e2e
e2e: image ## Popeye's promises on a real cluster of three nodes: FLAGS=-short for the short form
	@scripts/cluster-test $(FLAGS)

.PHONY: drill-cluster
drill-cluster: image ## half an hour of killed pods and lost nodes on that cluster: FLAGS='--duration 5m'
	@scripts/cluster-drill $(FLAGS)

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
	@scripts/chart drift

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

# As the chart names it by default.
IMAGE ?= docker.io/library/popeye:$(shell sed -n 's/^appVersion: *//p' deploy/helm/popeye/Chart.yaml)

.PHONY: image
image: ## the image, for amd64 and arm64: dist/popeye-image.tar
	@$(GO) run ./deploy/image -name $(IMAGE) -version $(VERSION) -sbom dist/popeye.spdx.json -o dist/popeye-image.tar

.PHONY: cover
cover: ## which lines the tests reach
	@mkdir -p dist
	$(GO) test -coverprofile=dist/cover.out -coverpkg=./... ./...
	$(GO) tool cover -func=dist/cover.out | tail -1

.PHONY: clean
clean: ## remove what was made
	rm -rf .bin dist
