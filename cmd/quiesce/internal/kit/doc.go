// Package kit is what the jobs of cmd/quiesce share: input errors, progress,
// child processes, statistics, and a sweep of the processor's caches.
package kit
