package raftnode

import (
	"context"
	"fmt"
	"time"

	"miroir/fsm"
)

// Pods of different versions run side by side. Each tells the leader which feature level it knows, with its requests to
// join and for leases; the leader commits the least of them as the cluster's, and commands of a higher one are refused
// where they are proposed.

// levelLook is how often the leader looks whether the level can rise.
const levelLook = time.Second

// keepLevel raises the cluster's level while this pod leads, until ctx ends.
func (n *Node) keepLevel(ctx context.Context) {
	for pause(ctx, levelLook) {
		if !n.IsLeader() || !n.leases.open(n.raft.CurrentTerm()) || n.View().ClusterID == "" {
			continue
		}
		if err := n.raiseLevel(ctx); err != nil {
			n.logger.Info("the feature level stays", "level", n.View().Level, "error", err)
		}
	}
}

// raiseLevel commits the level that every member knows, if all have been heard lately. No pod is let in meanwhile.
func (n *Node) raiseLevel(ctx context.Context) error {
	n.admitting.Lock()
	defer n.admitting.Unlock()
	level, reports := n.options.Level, n.leases.reports()
	for _, server := range n.servers() {
		id := string(server.ID)
		if id == n.id {
			continue
		}
		if n.silence(id) > n.options.ReadLease {
			return nil // it may come back as an older version
		}
		level = min(level, max(reports[id].Level, 1))
	}
	if level <= n.View().Level {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := fsm.Do(ctx, n, fsm.RaiseLevel{Level: level})
	if err == nil {
		n.logger.Info("every pod knows a higher feature level", "level", level)
	}
	return err
}

// checkProposal refuses a command that an older pod would not understand.
func (n *Node) checkProposal(cmd fsm.Command) error {
	if needed, level := n.options.levelOf(cmd), n.View().Level; needed > level {
		return &fsm.Error{Code: fsm.CodeLevel, Message: fmt.Sprintf("this needs feature level %d, and the cluster is at %d: "+
			"upgrade all pods first, and remove those that are gone", needed, level)}
	}
	return nil
}

// checkPod refuses a pod that does not understand what the cluster may have agreed upon.
func (n *Node) checkPod(id string, known int) error {
	known = max(known, 1)
	if level := n.View().Level; known < level {
		n.logger.Warn("an older pod is refused", "pod", id, "its_level", known, "level", level)
		return fmt.Errorf("pod %s knows feature level %d, and the cluster is at %d: start a newer version", id, known, level)
	}
	return nil
}
