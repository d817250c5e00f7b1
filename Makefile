# make prints what there is. The two scripts behind it are .ci/run and
# .ci/nightly.
.DEFAULT_GOAL := help
.PHONY: help quick full nightly test race poison lockdep lint build bench baseline benchcmp \
	fuzz map-chart cache-chart mutants shared torture litmus formal arm64 demo rename

work    = ./... ./cmd/quiesce/... ./cmd/quiesced/... ./cmd/quiescevet/... ./bench/... ./contrib/fastcache ./contrib/groupcache ./contrib/otel ./contrib/prom ./examples/... ./tests/...
FUZZTIME ?= 30s
FUZZ     ?= .
DURATION ?= 5m
BENCH    ?= .
PKG      ?= ./rcu ./slab ./rcuhash ./page ./lock ./preempt
COUNT    ?= 6
BASE     ?= HEAD

help: ## this list
	@echo 'make TARGET [NAME=value ...]'
	@echo
	@sed -n -E 's/^([a-z-]+):.* ## (.*)$$/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

quick: build ## build, vet, short tests of the library, policies: two minutes
	go vet $(work)
	go test -short ./...
	go test -short ./tests/policy

full: ## all that a change must pass: twenty minutes
	.ci/run

check: full

nightly: ## what takes hours: .ci/nightly [STEP ...]
	.ci/nightly

build: ## build every module
	go build $(work)

test: ## the tests of every module
	go test -p 1 work

race: ## short tests of the library under the race detector
	go test -race -short ./...

poison: ## the allocators' tests with every object followed
	QUIESCE=guard=1 go test -tags poison -short -count=1 ./page ./slab ./rcuhash

lockdep: ## the library's tests with lockdep on; a report fails
	QUIESCE=panic_on_report=1 go test -tags lockdep -short -count=1 ./...

lint: ## gofmt, vet with every tag, staticcheck, golangci-lint
	.ci/lint

bench: ## benchmarks: BENCH=pattern PKG=./slab COUNT=6
	go test -run '^$$' -bench '$(BENCH)' -count $(COUNT) $(PKG)

map-chart: ## maps side by side, measured and drawn: docs/measured/maps.svg COUNT=6
	go run ./bench/maps -run '^uint64/hit/2/' -count $(COUNT) -svg docs/measured/maps.svg

cache-chart: ## caches side by side, measured and drawn: docs/measured/caches.svg RUN=^bytes TRACES=dir SIZES=dir
	go run ./bench/caches -run '$(or $(RUN),^(bytes|memory))' -traces '$(TRACES)' -sizes '$(SIZES)' -count 1 -svg docs/measured/caches.svg

baseline: ## this machine's benchmarks to bench/baseline, for benchcmp
	BENCH='$(BENCH)' PKG='$(PKG)' COUNT=$(COUNT) .ci/baseline

benchcmp: ## benchmarks of BASE=commit or BASE=file and of this tree
	BENCH='$(BENCH)' PKG='$(PKG)' COUNT=$(COUNT) .ci/benchcmp $(BASE)

fuzz: ## every fuzz target in turn: FUZZTIME=5m FUZZ=FuzzSlab
	FUZZTIME=$(FUZZTIME) FUZZ=$(FUZZ) .ci/fuzz

mutants: ## show that the tests notice when the library is broken: five minutes
	@go run ./tests/mutants

shared: ## count what processors share, with 2, 16 and 64 Ps: some minutes
	@go run ./tests/shared

torture: ## every scenario: DURATION=1h
	go run ./cmd/quiesce torture -duration $(DURATION)

litmus: ## RCU's ordering on the real code: ten minutes
	QUIESCE_LITMUS=1e8 go test -v -timeout 1h -run NeverSeen ./tests/litmus

formal: ## verify the Promela models (needs spin)
	formal/run

demo: ## ten seconds of everything at once
	go run ./cmd/quiesce demo

rename: ## give the module a path of yours: MODULE=example.org/you/quiesce
	@go run ./tests/rename '$(MODULE)'
