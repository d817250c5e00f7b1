//go:build !(amd64 || arm64) || !(linux || darwin || windows || freebsd || netbsd || openbsd)

package sys

// The first error that the compiler prints on another system is this sentence.
var _ = quiesce_supports_amd64_and_arm64_on_linux_darwin_windows_freebsd_netbsd_and_openbsd
