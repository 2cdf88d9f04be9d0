package fsm

import "encoding/json"

// SearchRule is a dynamic search rule. Its contents are opaque here, and complete.
type SearchRule struct {
	UID  string          `json:"uid"`
	Rule json.RawMessage `json:"rule"`
	// Seq orders rules of equal precedence: the lowest number that was free when the rule was created.
	Seq uint32 `json:"seq"`
}

// PutSearchRule creates or replaces a rule.
type PutSearchRule struct {
	UID  string          `json:"uid"`
	Rule json.RawMessage `json:"rule"`
}

// DeleteSearchRules deletes rules; those that do not exist are passed over.
type DeleteSearchRules struct {
	UIDs []string `json:"uids"`
}

func (PutSearchRule) Result() (r None)     { return }
func (DeleteSearchRules) Result() (r None) { return }

func (c PutSearchRule) apply(t *txn) (any, error) {
	if !validName(c.UID) {
		return nil, refuse(CodeInvalid, "a search rule needs a uid of at most %d bytes", maxNameBytes)
	}
	rule := &SearchRule{UID: c.UID, Rule: c.Rule}
	if old := t.view.SearchRules[c.UID]; old != nil {
		rule.Seq = old.Seq
	} else {
		rule.Seq = t.view.freeRuleSeq()
	}
	own(t, "searchRules", &t.view.SearchRules)
	t.view.SearchRules[c.UID] = rule
	t.view.RulesAt = t.index
	t.put(bucketSearchRules, []byte(c.UID), rule)
	return None{}, nil
}

func (v *View) freeRuleSeq() uint32 {
	used := make(map[uint32]bool, len(v.SearchRules))
	for _, rule := range v.SearchRules {
		used[rule.Seq] = true
	}
	free := uint32(0)
	for used[free] {
		free++
	}
	return free
}

func (c DeleteSearchRules) apply(t *txn) (any, error) {
	own(t, "searchRules", &t.view.SearchRules)
	for _, uid := range c.UIDs {
		if t.view.SearchRules[uid] == nil {
			continue
		}
		delete(t.view.SearchRules, uid)
		t.delete(bucketSearchRules, []byte(uid))
	}
	t.view.RulesAt = t.index
	return None{}, nil
}
