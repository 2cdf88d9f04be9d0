package fsm

import "encoding/json"

// SetNetwork replaces what clients have registered of other servers.
type SetNetwork struct {
	Network json.RawMessage `json:"network"` // opaque; it holds keys of other servers
}

// Result is nothing.
func (SetNetwork) Result() (r None) { return }

func (c SetNetwork) apply(t *txn) (any, error) {
	t.view.Network = c.Network
	t.put(bucketMeta, rowNetwork, c.Network)
	return None{}, nil
}
