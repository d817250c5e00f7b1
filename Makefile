# Fuzz every target, FUZZTIME each: make fuzz FUZZTIME=5m FUZZ=FuzzSlab
FUZZTIME ?= 30s
FUZZ ?= .

.PHONY: fuzz
fuzz:
	FUZZTIME=$(FUZZTIME) FUZZ=$(FUZZ) .ci/fuzz

# Shows that the tests notice when the library is broken; about five minutes.
.PHONY: mutants
mutants:
	@go run ./tests/mutants
