//go:build race

package lab

const slower = 10
