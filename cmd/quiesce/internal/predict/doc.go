// Package predict predicts what Quiesce does on machines with more processors
// than this one. Four parts:
//
//	calibrate.go  measures named parameters here, on one and two Ps
//	closed.go     closed forms: grace period, membarrier, drain, queues
//	sim.go        a discrete-event simulation of P processors that allocate
//	              and free by RCU, on sheaves, stacks, the slab lock, the
//	              reclaim worker and Go's scheduler
//	shared.go     closed forms of what tests/shared counts; crowd.go has what
//	              more Ps than processors add to it
//
// check.go compares the predictions for one and two Ps with measurements, and
// the report says so when one is more than 30 % off. docs/measured/predict.md
// has the model in full, its assumptions, and the figures of one machine.
//
// What is measured and what is assumed is kept apart: a Param has the method of
// its measurement, an Assumption a range, and results that depend on one are
// given as a range too.
//
// # The simulation's unit
//
// is the life of one sheaf: a P allocates a sheaf's objects and frees them by
// RCU without a shared word, then does the slow paths of both, which are seven
// operations on shared words or one section of the slab lock. Every operation
// is an event of its own, so that queues are served in the order of arrival.
//
// # Conservation
//
// Objects are counted in whole sheaves: made = free in slabs + depot + pending +
// held by the worker + held by the Ps, after every event.
package predict
