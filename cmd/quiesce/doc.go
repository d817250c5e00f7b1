// Command quiesce demonstrates, tortures and measures the library, and shows what a
// process does with it.
//
// It is thin: a subcommand's flags become the configuration of a package below
// internal, whose report comes back and is printed. Each subcommand has a file
// of its name; run.go is what all of them go through.
//
// It is a module of its own, so that a program that imports the library does
// not inherit what the command needs.
package main
