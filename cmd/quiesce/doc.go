// Command quiesce runs Quiesce's jobs. It is thin: flags go to a Run below,
// reports come back and are shown.
//
// It is a module of its own, so that who imports the library does not inherit
// what the command needs to look good.
package main
