package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How pods find each other. A pod that is not part of a cluster, or no longer heard in it, says hello to the addresses it
// was given and to those it learns of. Whoever answers from a cluster is asked to let it in; the leader does, as a pod
// without a vote at first. Where nobody has a cluster, and BootstrapExpect pods know of each other, the lowest ids found
// one: every founder first notes on disk, once and for all, with whom; so there cannot be two first configurations.

// hello is what pods tell each other when they meet.
type hello struct {
	ID        string            `json:"id"`
	Address   string            `json:"address"`
	Expect    int               `json:"expect"`
	Clustered bool              `json:"clustered"` // it has a Raft configuration
	Known     map[string]string `json:"known"`     // address by id, of pods it met
}

// introductions are the pods that this one has met. The zero value is ready.
type introductions struct {
	mu   sync.Mutex
	byID map[string]hello // guarded by mu
}

func (in *introductions) note(h hello) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.byID == nil {
		in.byID = map[string]hello{}
	}
	if _, known := in.byID[h.ID]; known || len(in.byID) < maxBook {
		in.byID[h.ID] = h
	}
}

func (in *introductions) all() []hello {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []hello
	for _, h := range in.byID {
		all = append(all, h)
	}
	return all
}

const (
	assemblePause  = 250 * time.Millisecond // between two rounds of hellos
	assembleRest   = time.Second            // between two looks at whether all is well
	helloTimeout   = 2 * time.Second
	waitingLogEach = 10 * time.Second
)

// assemble makes this pod part of a cluster and keeps it there, until ctx ends.
func (n *Node) assemble(ctx context.Context) {
	logged := time.Now()
	for {
		rest := assembleRest
		if !n.settled() {
			rest = assemblePause
			err := n.introduce(ctx)
			if err != nil && time.Since(logged) > waitingLogEach {
				n.logger.Warn("not part of a cluster yet", "error", err)
				logged = time.Now()
			}
		}
		if !pause(ctx, rest) {
			return
		}
	}
}

// settled reports that this pod hears the leader and the cluster knows its address.
func (n *Node) settled() bool {
	if !n.Fresh() {
		return false
	}
	server, known := n.member(n.id)
	return known && string(server.Address) == n.address
}

// member is a pod's entry in the Raft configuration.
func (n *Node) member(id string) (raft.Server, bool) {
	servers := n.servers()
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == id })
	if i < 0 {
		return raft.Server{}, false
	}
	return servers[i], true
}

func (n *Node) servers() []raft.Server { return n.raft.GetConfiguration().Configuration().Servers }

// introduce says hello to every address there is, and then joins, founds or waits; the error says for what.
func (n *Node) introduce(ctx context.Context) error {
	answers := n.greetAll(ctx)
	clustered := slices.DeleteFunc(slices.Clone(answers), func(h hello) bool { return !h.Clustered })
	mine := len(n.servers()) > 0
	switch {
	case len(clustered) > 0:
		var failed error
		for _, h := range clustered {
			err := n.ask(ctx, h.Address, "join", joinRequest{ID: n.id, Address: n.address, Level: n.options.Level}, &struct{}{})
			if err == nil {
				return nil
			}
			failed = errors.Join(failed, fmt.Errorf("join through %s: %w", h.ID, err))
		}
		return failed
	case mine:
		return errors.New("no other pod of the cluster answers")
	case n.options.BootstrapExpect > 1:
		return n.found(ctx)
	case len(n.options.Join) > 0:
		return fmt.Errorf("no pod of a cluster answers at %s", strings.Join(n.options.Join, ", "))
	}
	return nil
}

// greetAll says hello to everybody at once and returns the answers.
func (n *Node) greetAll(ctx context.Context) []hello {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var mu sync.Mutex
	var answers []hello
	var asked sync.WaitGroup
	for _, address := range n.addresses() {
		asked.Go(func() {
			var answer hello
			if err := n.ask(ctx, address, "hello", n.hello(), &answer); err != nil || answer.ID == n.id {
				return
			}
			n.met(ctx, answer)
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, answer)
		})
	}
	asked.Wait()
	slices.SortFunc(answers, func(a, b hello) int { return strings.Compare(a.ID, b.ID) })
	return answers
}

// addresses are all those another pod may be at.
func (n *Node) addresses() []string {
	addresses := slices.Clone(n.options.Join)
	for _, server := range n.servers() {
		addresses = append(addresses, string(server.Address))
	}
	for _, h := range n.peers.known.all() {
		addresses = append(addresses, h.Address)
		for _, address := range h.Known {
			addresses = append(addresses, address)
		}
	}
	slices.Sort(addresses)
	return slices.DeleteFunc(slices.Compact(addresses), func(a string) bool { return a == n.address || a == "" })
}

func (n *Node) hello() hello {
	h := hello{ID: n.id, Address: n.address, Expect: n.options.BootstrapExpect, Clustered: len(n.servers()) > 0, Known: map[string]string{}}
	for _, known := range n.peers.known.all() {
		h.Known[known.ID] = known.Address
	}
	return h
}

// met notes a pod and where it is, unless another pod of that id still answers where it was.
func (n *Node) met(ctx context.Context, h hello) {
	if h.ID == "" || h.Address == "" || h.ID == n.id {
		return
	}
	if before := n.addressOf(h.ID); before != "" && before != h.Address {
		ctx, cancel := context.WithTimeout(ctx, helloTimeout/2)
		defer cancel()
		var there hello
		if err := n.ask(ctx, before, "hello", n.hello(), &there); err == nil && there.ID == h.ID && there.Address == before {
			n.logger.Error("two pods have one id: give each its own --node-id", "id", h.ID, "addresses", []string{before, h.Address})
			return
		}
	}
	n.peers.known.note(h)
	n.peers.book.note(h.ID, h.Address)
}

// addressOf is where a pod was last, "" if it is unknown.
func (n *Node) addressOf(id string) string {
	if address, err := n.peers.book.ServerAddr(raft.ServerID(id)); err == nil {
		return string(address)
	}
	server, _ := n.member(id)
	return string(server.Address)
}

func (n *Node) answerHello(w http.ResponseWriter, r *http.Request) error {
	var h hello
	if err := readQuestion(r, &h); err != nil {
		return err
	}
	if h.ID == n.id && h.Address != n.address {
		n.logger.Error("another pod has this one's id: give each its own --node-id", "id", h.ID, "address", h.Address)
	}
	n.met(r.Context(), h)
	return writeAnswer(w, n.hello())
}

// found makes a cluster of the BootstrapExpect pods with the lowest ids, if this is the lowest of them and all agree.
func (n *Node) found(ctx context.Context) error {
	founders := []hello{n.hello()}
	for _, h := range n.peers.known.all() {
		if !h.Clustered && h.Expect == n.options.BootstrapExpect {
			founders = append(founders, h)
		}
	}
	if missing := n.options.BootstrapExpect - len(founders); missing > 0 {
		return fmt.Errorf("waiting for %d more pods with --bootstrap-expect %d, met so far: %s",
			missing, n.options.BootstrapExpect, ids(founders))
	}
	slices.SortFunc(founders, func(a, b hello) int { return strings.Compare(a.ID, b.ID) })
	founders = founders[:n.options.BootstrapExpect]
	if founders[0].ID != n.id {
		return fmt.Errorf("waiting for pod %s to found the cluster", founders[0].ID)
	}
	var configuration raft.Configuration
	for _, h := range founders {
		agree := agreement{With: ids(founders)}
		var err error
		if h.ID == n.id {
			err = n.agree(agree)
		} else {
			err = n.ask(ctx, h.Address, "agree", agree, &struct{}{})
		}
		if err != nil {
			return fmt.Errorf("pod %s does not found a cluster of %s: %w", h.ID, ids(founders), err)
		}
		configuration.Servers = append(configuration.Servers, raft.Server{ID: raft.ServerID(h.ID), Address: raft.ServerAddress(h.Address)})
	}
	n.logger.Info("founding the cluster", "pods", ids(founders))
	err := n.wait(ctx, func() raft.Future { return n.raft.BootstrapCluster(configuration) })
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil // somebody let this pod in meanwhile
	}
	return err
}

func ids(pods []hello) string {
	var names []string
	for _, h := range pods {
		names = append(names, h.ID)
	}
	return strings.Join(names, ",")
}

// agreement is with whom a pod founds a cluster. A pod agrees to one in its life.
type agreement struct {
	With string `json:"with"` // ids, sorted, separated by commas
}

var keyAgreement = []byte("miroir/founders")

// agree notes on disk with whom this pod founds a cluster, unless it has one or agreed to another.
func (n *Node) agree(a agreement) error {
	n.peers.known.mu.Lock() // one at a time
	defer n.peers.known.mu.Unlock()
	if len(n.servers()) > 0 {
		return errors.New("it has a cluster already")
	}
	if !slices.Contains(strings.Split(a.With, ","), n.id) {
		return errors.New("it is not one of them")
	}
	text, err := getStable(n.stable, keyAgreement)
	if err != nil {
		return err
	}
	if text == nil {
		if text, err = json.Marshal(a); err != nil {
			return err
		}
		return n.stable.Set(keyAgreement, text)
	}
	var earlier agreement
	if err := json.Unmarshal(text, &earlier); err != nil {
		return err
	}
	if earlier != a {
		return fmt.Errorf("it agreed to found one of %s; if those pods are gone for good, empty its data directory", earlier.With)
	}
	return nil
}

func (n *Node) answerAgree(w http.ResponseWriter, r *http.Request) error {
	var a agreement
	if err := readQuestion(r, &a); err != nil {
		return err
	}
	if err := n.agree(a); err != nil {
		return err
	}
	return writeAnswer(w, struct{}{})
}

// joinRequest asks the leader to let a pod in, or to note its new address.
type joinRequest struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	Level     int    `json:"level"`     // feature level it knows
	Forwarded bool   `json:"forwarded"` // by the pod that was asked
}

func (n *Node) answerJoin(w http.ResponseWriter, r *http.Request) error {
	var request joinRequest
	if err := readQuestion(r, &request); err != nil {
		return err
	}
	err := n.admit(r.Context(), request)
	if errors.Is(err, ErrNotLeader) && !request.Forwarded {
		request.Forwarded = true
		err = n.askLeader(r.Context(), "join", request, &struct{}{})
	}
	if err != nil {
		return err
	}
	return writeAnswer(w, struct{}{})
}

// admit makes a pod a member, without a vote at first, or gives a member its new address.
func (n *Node) admit(ctx context.Context, pod joinRequest) error {
	if !n.IsLeader() {
		return ErrNotLeader
	}
	if pod.ID == "" || pod.Address == "" || pod.ID == n.id {
		return fmt.Errorf("a pod cannot join as %q at %q", pod.ID, pod.Address)
	}
	n.admitting.Lock()
	defer n.admitting.Unlock()
	if err := n.checkPod(pod.ID, pod.Level); err != nil {
		return err
	}
	server, known := n.member(pod.ID)
	if known && string(server.Address) == pod.Address {
		return nil
	}
	if last, heard := n.leases.reports()[pod.ID]; heard && last.Address != pod.Address && time.Since(last.seen) < n.options.ReadLease {
		return fmt.Errorf("the id %q is in use by the pod at %s: give each pod its own --node-id", pod.ID, last.Address)
	}
	n.logger.Info("a pod joins or has moved", "pod", pod.ID, "address", pod.Address)
	return n.setMember(ctx, pod.ID, pod.Address, known && server.Suffrage == raft.Voter)
}

// moveOwnAddress makes the cluster know the address that this pod, which leads, has now.
func (n *Node) moveOwnAddress(ctx context.Context) error {
	server, known := n.member(n.id)
	if !known || string(server.Address) == n.address {
		return nil
	}
	return n.setMember(ctx, n.id, n.address, true)
}

// setMember commits a member of the Raft configuration.
func (n *Node) setMember(ctx context.Context, id, address string, voter bool) error {
	set := n.raft.AddNonvoter
	if voter {
		set = n.raft.AddVoter
	}
	return n.wait(ctx, func() raft.Future { return set(raft.ServerID(id), raft.ServerAddress(address), 0, 0) })
}
