package proxy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// CheckSettings reads the settings of an index back from a node and compares them with the end of the log. Errors:
// tasks.ErrSettingsMove, or that the node did not answer.
func (s *Server) CheckSettings(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (*tasks.SettingsCheck, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	view := s.cluster.View()
	ix, client := view.Indexes[index], s.nodes.Client(view, id)
	if ix == nil || ix.Deleting || client == nil {
		return nil, tasks.ErrSettingsMove
	}
	var present map[string]json.RawMessage
	missing, err := getJSON(ctx, client, indexPath(ix.NodeUID)+"/settings", &present)
	if err != nil {
		return nil, fmt.Errorf("read settings of %s back from node %s: %w", ix.NodeUID, id, err)
	}
	if now := s.cluster.View().Indexes[index]; now == nil || now.Deleting || now.NextVersion != ix.NextVersion || now.Whole() != ix.Whole() {
		return nil, tasks.ErrSettingsMove
	}
	check, err := compareSettings(ix.NextSettings, ix.Whole(), present)
	if err != nil {
		return nil, err
	}
	check.NextVersion = ix.NextVersion
	if missing {
		check.Fingerprint = ""
		return check, nil
	}
	var rules []json.RawMessage
	if err := json.Unmarshal(present["filterableAttributes"], &rules); err != nil {
		return nil, fmt.Errorf("read the node's filterableAttributes: %w", err)
	}
	check.FiltersShards = slices.ContainsFunc(rules, namesShardField)
	check.Unmarked = !check.FiltersShards && (!ix.Whole() || !slices.ContainsFunc(rules, isOurs))
	return check, nil
}

// isOurs reports that a rule of filterableAttributes is one that Miroir adds.
func isOurs(rule json.RawMessage) bool { return names(rule, tasks.NoField) || namesShardField(rule) }

func namesShardField(rule json.RawMessage) bool { return names(rule, shardField) }

// names reports that a rule of filterableAttributes lists a field among its patterns.
func names(rule json.RawMessage, field string) bool {
	var of struct{ AttributePatterns []string }
	return json.Unmarshal(rule, &of) == nil && slices.Contains(of.AttributePatterns, field)
}

// compareSettings compares the settings that a node shows with those of the state. Only what the node shows and Miroir
// knows is compared: a node leaves out settings of features it has not switched on, and may have more than Miroir knows. whole
// says that the index lives whole.
func compareSettings(state json.RawMessage, whole bool, present map[string]json.RawMessage) (*tasks.SettingsCheck, error) {
	settings, err := meili.LoadSettings(state)
	if err != nil {
		return nil, err
	}
	want := map[string]any{}
	if err := json.Unmarshal(settings.View(meili.AllFeatures()), &want); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	delete(want, "foreignKeys") // kept from nodes
	have := map[string]any{}
	for name := range want {
		text, shown := present[name]
		if !shown {
			have[name] = want[name]
			continue
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, fmt.Errorf("read the node's %s: %w", name, err)
		}
		have[name] = withoutAdded(name, value, want[name], settings, whole)
	}
	sortSets(want)
	sortSets(have)
	check := &tasks.SettingsCheck{Fingerprint: fingerprint(have), Want: fingerprint(want), Present: present}
	for name := range want {
		if !reflect.DeepEqual(have[name], want[name]) {
			check.Differing = append(check.Differing, name)
		}
	}
	slices.Sort(check.Differing)
	return check, nil
}

// fingerprint is the sha256 of settings in canonical JSON: object members sorted, no spaces.
func fingerprint(settings map[string]any) string {
	text, _ := marshal(settings) // it was JSON
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// withoutAdded is a node's setting as clients see it: without what Miroir adds, and without what the node adds by itself.
func withoutAdded(name string, have, want any, settings *meili.Settings, whole bool) any {
	switch name {
	case "filterableAttributes":
		return withoutRule(have, whole)
	case "displayedAttributes":
		return withoutOrderField(have, want)
	case "faceting":
		return withoutRaisedLimit(have, settings)
	case "embedders":
		return withoutInferred(have, want)
	case "rankingRules":
		if !settings.RankingRules.Set && reflect.DeepEqual(have, formerRankingRules) {
			return want
		}
	}
	return have
}

// formerRankingRules are the default of Meilisearch before it split the rule attribute in two.
var formerRankingRules = []any{"words", "typo", "proximity", "attribute", "sort", "exactness"}

// withoutRule drops Miroir's rule. A node without it has something else than any client's setting. An index that lives whole may
// have the one of the shard field: it is about to be cut up, or was read in parts.
func withoutRule(have any, whole bool) any {
	rules, _ := have.([]any)
	for i, rule := range rules {
		if reflect.DeepEqual(rule, shownShardRule) || whole && reflect.DeepEqual(rule, shownWholeRule) {
			return slices.Delete(slices.Clone(rules), i, i+1)
		}
	}
	return map[string]any{"withoutRule": have}
}

// Miroir's rules as nodes show them.
var shownWholeRule, shownShardRule = shownRule(wholeRule), shownRule(shardRule)

func shownRule(rule meili.FilterableRule) (shown any) {
	text, _ := marshal(rule) // rules always marshal
	if err := json.Unmarshal(text, &shown); err != nil {
		panic("read a rule of filterableAttributes: " + err.Error())
	}
	return shown
}

// withoutOrderField drops the number's field from a list of displayed attributes. A node without it has something else
// than any client's setting.
func withoutOrderField(have, want any) any {
	shown, _ := have.([]any)
	wanted, _ := want.([]any)
	if slices.Contains(wanted, any("*")) {
		return have
	}
	at := slices.Index(shown, any(orderField))
	if at < 0 {
		return map[string]any{"withoutOrderField": have}
	}
	return slices.Delete(slices.Clone(shown), at, at+1)
}

// withoutRaisedLimit takes the length of a node's facet lists back to the client's. An index that was whole when its
// settings changed and is spread now may have either.
func withoutRaisedLimit(have any, settings *meili.Settings) any {
	faceting, ok := have.(map[string]any)
	client := settings.MaxValuesPerFacet()
	if ok && listsByCount(settings) && faceting["maxValuesPerFacet"] == float64(max(client, nodeFacetValues)) {
		faceting["maxValuesPerFacet"] = float64(client)
	}
	return have
}

// inferredMembers are those of an embedder that a node may fill in where the client left them out.
var inferredMembers = []string{"dimensions", "model", "pooling", "revision", "url"}

// withoutInferred drops the members of embedders that the node found out by itself, hides the keys that nodes show and
// puts the client's templates back.
func withoutInferred(have, want any) any {
	embedders, _ := have.(map[string]any)
	wanted, _ := want.(map[string]any)
	for name, embedder := range embedders {
		shown, _ := embedder.(map[string]any)
		expected, _ := wanted[name].(map[string]any)
		dropInferred(shown, expected)
		clientTemplate(shown, expected)
		for _, half := range []string{"searchEmbedder", "indexingEmbedder"} {
			part, _ := shown[half].(map[string]any)
			expectedPart, _ := expected[half].(map[string]any)
			dropInferred(part, expectedPart)
			clientTemplate(part, expectedPart)
			if key, ok := part["apiKey"].(string); ok && part["apiKey"] != expectedPart["apiKey"] {
				part["apiKey"] = meili.HideSecret(key) // Meilisearch hides the keys of whole embedders only
			}
		}
	}
	return have
}

func dropInferred(shown, expected map[string]any) {
	for _, member := range inferredMembers {
		if _, given := expected[member]; !given {
			delete(shown, member)
		}
	}
}

// sortSets sorts the lists whose order has no meaning.
func sortSets(settings map[string]any) {
	for _, name := range []string{"displayedAttributes", "sortableAttributes", "stopWords", "nonSeparatorTokens", "separatorTokens", "dictionary"} {
		sortSet(settings, name)
	}
	if typo, ok := settings["typoTolerance"].(map[string]any); ok {
		sortSet(typo, "disableOnWords")
		sortSet(typo, "disableOnAttributes")
	}
	if synonyms, ok := settings["synonyms"].(map[string]any); ok {
		for word := range synonyms {
			sortSet(synonyms, word)
		}
	}
}

func sortSet(object map[string]any, name string) {
	list, ok := object[name].([]any)
	if !ok {
		return
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	object[name] = slices.CompactFunc(list, func(a, b any) bool { return a == b })
}

// RepairSettings sends a node the settings that check found different, in the order of the index's writes. It returns
// once the node has accepted them. Errors: tasks.ErrSettingsMove when the index has changed since the check.
func (s *Server) RepairSettings(ctx context.Context, index fsm.IndexID, id fsm.NodeID, check *tasks.SettingsCheck) error {
	return s.putRight(ctx, index, id, check, func(ix *fsm.Index) ([]json.RawMessage, error) { return repairBodies(ix, check) })
}

// RestoreRule gives a node's index Miroir's rule, beside what it has. It returns once the node has accepted that. Errors:
// tasks.ErrSettingsMove when the index has changed since the check.
func (s *Server) RestoreRule(ctx context.Context, index fsm.IndexID, id fsm.NodeID, check *tasks.SettingsCheck) error {
	return s.putRight(ctx, index, id, check, func(ix *fsm.Index) ([]json.RawMessage, error) {
		var rules []json.RawMessage
		if err := json.Unmarshal(check.Present["filterableAttributes"], &rules); err != nil {
			return nil, fmt.Errorf("read the node's filterableAttributes: %w", err)
		}
		rule := shardRule
		if ix.Whole() {
			rule = wholeRule
		}
		text, _ := marshal(rule) // rules always marshal
		body, err := marshal(map[string]any{"filterableAttributes": append(slices.DeleteFunc(rules, isOurs), text)})
		return []json.RawMessage{body}, err
	})
}

// putRight sends a node changes of an index's settings, in the order of the index's writes, unless it has changed since check.
func (s *Server) putRight(ctx context.Context, index fsm.IndexID, id fsm.NodeID, check *tasks.SettingsCheck, bodiesFor func(*fsm.Index) ([]json.RawMessage, error)) error {
	unlock, err := s.lockIndex(ctx, index)
	if err != nil {
		return err
	}
	view := s.cluster.View()
	ix, client := view.Indexes[index], s.nodes.Client(view, id)
	if ix == nil || client == nil || ix.NextVersion != check.NextVersion {
		unlock()
		return tasks.ErrSettingsMove
	}
	bodies, err := bodiesFor(ix)
	if err != nil || len(bodies) == 0 {
		unlock()
		return err
	}
	s.writer.watches.note(ix.ID, nil)
	sub := &subWrite{target: fsm.Target{Node: id}, client: client, began: s.opts.Now(), index: ix.NodeUID, answer: make(chan delivery, 1)}
	for _, body := range bodies {
		sub.steps = append(sub.steps, step{request: jsonRequest(http.MethodPatch, indexPath(ix.NodeUID)+"/settings", body)})
	}
	s.writer.lanes.enqueue(index, sub)
	unlock()
	if done := <-sub.answer; done.ack.Err != "" {
		return fmt.Errorf("put settings of %s right on node %s: %s", ix.NodeUID, id, done.ack.Err)
	}
	return nil
}

// repairBodies are the bodies of the changes that, one after the other, put the differing settings right. Members that a
// change would merge are reset first.
func repairBodies(ix *fsm.Index, check *tasks.SettingsCheck) ([]json.RawMessage, error) {
	state, err := meili.LoadSettings(ix.NextSettings)
	if err != nil {
		return nil, err
	}
	stored, err := membersOf(ix.NextSettings)
	if err != nil {
		return nil, err
	}
	shown, err := membersOf(state.View(meili.AllFeatures()))
	if err != nil {
		return nil, err
	}
	resets, want := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, name := range check.Differing {
		want[name] = json.RawMessage("null")
		if value, given := stored[name]; given {
			want[name] = value
		}
		switch {
		case name == "embedders":
			if want[name], err = repairEmbedders(check.Present[name], shown[name], want[name]); err != nil {
				return nil, err
			}
		case mergedSettings[name]:
			resets[name] = json.RawMessage("null")
		}
	}
	return settingsBodies(ix, state, resets, want)
}

// repairEmbedders changes the embedders that a node has into the stored ones without resetting any of these, which would
// make the node compute its vectors anew. shown are the stored ones as nodes show them.
func repairEmbedders(present, shown, stored json.RawMessage) (json.RawMessage, error) {
	change, err := membersOf(stored)
	if err != nil {
		return nil, err
	}
	has, err := membersOf(present)
	if err != nil {
		return nil, err
	}
	wanted, err := membersOf(shown)
	if err != nil {
		return nil, err
	}
	for name, embedder := range has {
		if wanted[name] == nil {
			change[name] = json.RawMessage("null")
		} else if change[name], err = withResets(change[name], embedder, wanted[name]); err != nil {
			return nil, err
		}
	}
	return marshal(change)
}

// withResets adds to a change of an embedder the resets of members that it has and should not have.
func withResets(change, has, wanted json.RawMessage) (json.RawMessage, error) {
	members, err := membersOf(change)
	if err != nil {
		return nil, err
	}
	present, err := membersOf(has)
	if err != nil {
		return nil, err
	}
	expected, err := membersOf(wanted)
	if err != nil {
		return nil, err
	}
	for name := range present {
		if expected[name] == nil && !slices.Contains(inferredMembers, name) {
			members[name] = json.RawMessage("null")
		}
	}
	return marshal(members)
}
