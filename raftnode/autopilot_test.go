package raftnode

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

func (p *pods) voters() (ids string) {
	for _, server := range p.leader().servers() {
		if server.Suffrage == raft.Voter {
			ids += string(server.ID)
		}
	}
	return ids
}

// Seven pods: five vote. One of them dies: another gets its vote. It stays away: it is forgotten. It comes back: it joins anew.
func TestFivePodsVoteAndTheDeadAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		for _, id := range []string{"d", "e", "f", "g"} {
			p.start(id)
			p.settle()
		}
		p.until("five voters", func() bool { return len(p.voters()) == 5 })
		if got := len(p.leader().servers()); got != 7 {
			t.Fatalf("%d members", got)
		}
		dead := "a"
		if p.leader().id == dead {
			dead = "b"
		}
		p.isolate(dead)
		p.stop(dead)
		p.until("the dead voter is replaced", func() bool {
			server, _ := p.leader().member(dead)
			return server.Suffrage == raft.Nonvoter && len(p.voters()) == 5
		})
		if _, err := fsm.Do(p.ctx(), p.leader(), fsm.SetConfig{Config: fsm.Config{Raft: fsm.RaftConfig{MaxVoters: 3, DeadPodCleanupS: 30}}}); err != nil {
			t.Fatal(err)
		}
		p.until("three voters, and the dead pod is forgotten", func() bool {
			_, known := p.leader().member(dead)
			return !known && len(p.voters()) == 3
		})
		for other := range p.nodes {
			p.network.Heal(dead+":1", other+":1")
		}
		p.start(dead)
		p.settle()
		time.Sleep(10 * time.Second)
		if server, _ := p.leader().member(dead); server.Suffrage != raft.Nonvoter {
			t.Fatalf("the pod that came back is %+v", server)
		}
	})
}
