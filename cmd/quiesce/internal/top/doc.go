// Package top is quiesce top: a live view of another process's memory outside the
// Go heap, in a terminal.
//
// A [Source] asks the process for its snapshots; two of them make a [Frame], which
// has rates as well; a screen shows a Frame as lines that fit its size; and a model
// says what a key or a new Frame changes. Only the model knows of a terminal.
package top
