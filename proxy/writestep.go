package proxy

import "miroir/fsm"

// WriteStep is a moment in the life of a write. Between any two of them the pod may die, and the next leader must find
// out what happened.
type WriteStep string

// The steps of a write, in their order. A sub-write's steps name its node.
const (
	StepChecked     WriteStep = "checked, not in the log"
	StepBegun       WriteStep = "in the log, on no node"
	StepSending     WriteStep = "before a sub-write"
	StepSent        WriteStep = "after a sub-write"
	StepCollected   WriteStep = "answered by all nodes, result not in the log"
	StepConcluded   WriteStep = "result in the log, client not answered"
	StepUnconfirmed WriteStep = "client answered, result not in the log"
)

// step tells a test which step a write has come to.
func (s *Server) step(step WriteStep, target fsm.NodeID) {
	if s.opts.OnWriteStep != nil {
		s.opts.OnWriteStep(step, target)
	}
}
