// Package properties checks what must hold for any operations in any order: it
// runs random programs against small models, and package rapid shrinks those that
// fail. The fuzz targets of the library's packages cover one package and one
// goroutine each; here are several packages under one memory limit, and schedules
// of several goroutines.
package properties
