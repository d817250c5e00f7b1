//go:build race

package compare

const slower = 10
