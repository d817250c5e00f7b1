// Package heapprofile reads the profile that package inspect writes with pprof's own
// library, and holds it against what the program did.
package heapprofile
