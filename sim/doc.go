// Package sim is the deterministic simulation: pods, nodes and clients in one process on virtual time. Its tests run random
// histories, each from a seed: clients write and read while nodes are cut off, slowed, wiped or rolled back and pods die.
// Afterwards every answer is held against a model of one Meilisearch that did the same tasks in the order of their uids,
// and every replica is read directly.
//
// What it does not show: sockets, disks that fail, and the ranking of searches, which the tests of package proxy compare.
package sim
