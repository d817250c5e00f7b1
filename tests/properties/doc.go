// Package properties has what must hold whatever is done in whatever order:
// random programs against small models, shrunk by package rapid when one of
// them fails. The fuzz targets of the library's packages look at one package
// and one goroutine each; here are several packages on one memory limit, and
// schedules of several goroutines.
package properties
