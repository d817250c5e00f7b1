// Package policy holds the rules of this repository as tests: who may import
// whom, where unsafe and linkname may stand, what must inline, which functions
// must not contain an atomic instruction. It has no code of its own.
package policy
