// Package policy holds the rules of this repository as tests: which package
// may import which, where unsafe and linkname may be used, what must inline, which functions
// must not contain an atomic instruction. It has no code of its own.
package policy
