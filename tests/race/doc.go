// Package race shows what a -race build reports and what it does not: its
// scenarios run in processes of their own, built with -race.
package race
