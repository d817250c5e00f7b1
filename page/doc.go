// Package page is the page allocator.
package page
