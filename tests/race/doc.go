// Package race shows what a -race build reports, and about what it is silent:
// scenarios that run in processes of their own, built with -race.
package race
