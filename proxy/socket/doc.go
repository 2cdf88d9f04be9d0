// Package socket reads and writes TCP connections without telling Go's scheduler of each system call.
//
// Package net announces every read and write to the scheduler, for a system call may block. A socket never does in Go: what
// cannot go on waits in the network poller. The announcement is dear where a process waits most of the time, as a pod does for
// a client and for a node in each search: it wakes the scheduler's monitor, which then looks around every 20 µs for a while
// (runtime.sysmon) on a processor that the node could use. That was a fifth of the processor time that a pod took for a search,
// and two of three switches between threads.
package socket
