# Shows that the tests notice when the library is broken; about five minutes.
.PHONY: mutants
mutants:
	@go run ./internal/mutants
