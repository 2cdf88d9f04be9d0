package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// maxSearchRules bounds the rules that are kept: views hold all of them.
const maxSearchRules = 10_000

// searchRules is the gate of a route of dynamic search rules, by the name it has in the message that the feature is off.
func searchRules(action string) gated {
	return gated{action, "dynamicSearchRules", func(f meili.Features) bool { return f.DynamicSearchRules }, ""}
}

// anySearchRules is what the routes that change rules call themselves.
var anySearchRules = searchRules("Using the `/dynamic-search-rules` routes")

func decodeRule(stored *fsm.SearchRule) (rule meili.SearchRule, err error) {
	if err := json.Unmarshal(stored.Rule, &rule); err != nil {
		return rule, fmt.Errorf("search rule %s of the replicated state: %w", stored.UID, err)
	}
	return rule, nil
}

// ruleUID is the rule that the path names. What can be no name is answered, in the words of the server's router.
func (r *request) ruleUID(w http.ResponseWriter) (uid string, ok bool) {
	uid = r.Params.ByName("rule")
	refused := meili.CheckIndexUID(uid)
	if refused == nil {
		return uid, true
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, refused.Message) // a client that left needs no answer
	return "", false
}

func (s *Server) handleGetSearchRule(w http.ResponseWriter, r *request) error {
	uid, ok := r.ruleUID(w)
	if !ok {
		return nil
	}
	if err := searchRules("Calling the `GET /dynamic-search-rules/{:ruleUid}` route").check(r.View); err != nil {
		return err
	}
	stored := r.View.SearchRules[uid]
	if stored == nil {
		return meili.SearchRuleNotFound(uid)
	}
	rule, err := decodeRule(stored)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, rule)
	return nil
}

func (s *Server) handleListSearchRules(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	list, refused := meili.DecodeRuleList(body)
	if refused != nil {
		return refused
	}
	if err := searchRules("Calling the `POST /dynamic-search-rules` route").check(r.View); err != nil {
		return err
	}
	found, err := s.findSearchRules(r, list.Filter)
	if err != nil {
		return err
	}
	from, to := meili.Page{Offset: list.Offset, Limit: list.Limit}.Of(len(found))
	writeJSON(w, http.StatusOK, struct {
		Results []meili.SearchRule `json:"results"`
		Offset  int                `json:"offset"`
		Limit   int                `json:"limit"`
		Total   int                `json:"total"`
	}{found[from:to], list.Offset, list.Limit, len(found)})
	return nil
}

// findSearchRules lists rules, those changed last first. Where words are searched for, a node says which rules have them
// and in which order: it cuts texts into words as the rules themselves are matched.
func (s *Server) findSearchRules(r *request, filter meili.RuleListFilter) ([]meili.SearchRule, error) {
	rules := make([]meili.SearchRule, 0, len(r.View.SearchRules))
	stored := slices.SortedFunc(maps.Values(r.View.SearchRules), func(a, b *fsm.SearchRule) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, one := range stored {
		rule, err := decodeRule(one)
		if err != nil {
			return nil, err
		}
		if filter.Active == nil || *filter.Active == rule.Active {
			rules = append(rules, rule)
		}
	}
	slices.SortStableFunc(rules, func(a, b meili.SearchRule) int { return strings.Compare(b.LastUpdatedAt, a.LastUpdatedAt) })
	if len(rules) == 0 || filter.Query == nil || strings.TrimSpace(*filter.Query) == "" {
		return rules, nil
	}
	uids, err := s.searchRuleTexts(r, filter)
	if err != nil {
		return nil, err
	}
	found := make([]meili.SearchRule, 0, len(uids))
	for _, uid := range uids {
		if i := slices.IndexFunc(rules, func(rule meili.SearchRule) bool { return rule.UID == uid }); i >= 0 {
			found = append(found, rules[i])
		}
	}
	return found, nil
}

func (s *Server) searchRuleTexts(r *request, filter meili.RuleListFilter) (uids []string, err error) {
	body, err := marshal(meili.RuleList{Limit: maxSearchRules, Filter: filter})
	if err != nil {
		return nil, err
	}
	answer, err := s.askAnyNode(r, nil, node.Request{Method: "POST", Path: rulesPath, Body: body, ContentType: "application/json", Read: true})
	if err != nil {
		return nil, err
	}
	var page struct {
		Results []struct {
			UID string `json:"uid"`
		} `json:"results"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return nil, fmt.Errorf("search rules of a node: %w", err)
	}
	for _, rule := range page.Results {
		uids = append(uids, rule.UID)
	}
	return uids, nil
}

func (s *Server) handlePatchSearchRule(w http.ResponseWriter, r *request) error {
	uid, ok := r.ruleUID(w)
	if !ok {
		return nil
	}
	metadata, refused := meili.DecodeCustomMetadata(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	patch, refused := meili.DecodeSearchRulePatch(body)
	if refused != nil {
		return refused
	}
	if err := anySearchRules.check(r.View); err != nil {
		return err
	}
	if r.View.SearchRules[uid] == nil && len(r.View.SearchRules) >= maxSearchRules {
		return miroirError(codeInvalidArgument, "There are %d search rules, which is as many as there may be. Delete some first.", maxSearchRules)
	}
	rule, err := marshal(patch)
	if err != nil {
		return err
	}
	details := meili.TaskDetails{Rule: rule, UpdatedRules: new(uint64(1))}
	return s.enqueueJob(w, r, http.StatusAccepted, fsm.BeginWrite{
		Kind: string(meili.TaskDSRUpdate), CustomMetadata: metadata, Details: tasks.WithNote(details.JSON(), tasks.Note{Rule: uid}),
	})
}

func (s *Server) handleDeleteSearchRule(w http.ResponseWriter, r *request) error {
	if _, refused := meili.DecodeCustomMetadata(r.URL.RawQuery); refused != nil { // before the rule's name, unlike where it is changed
		return refused
	}
	uid, ok := r.ruleUID(w)
	if !ok {
		return nil
	}
	details := meili.TaskDetails{UpdatedRules: new(uint64(1))}
	return s.deleteSearchRules(w, r, meili.TaskDSRUpdate, tasks.WithNote(details.JSON(), tasks.Note{Rule: uid}))
}

func (s *Server) handleClearSearchRules(w http.ResponseWriter, r *request) error {
	details := meili.TaskDetails{DeletedDocuments: meili.NotCounted()}
	return s.deleteSearchRules(w, r, meili.TaskDSRClear, details.JSON())
}

func (s *Server) deleteSearchRules(w http.ResponseWriter, r *request, kind meili.TaskKind, details json.RawMessage) error {
	metadata, refused := meili.DecodeCustomMetadata(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	if err := anySearchRules.check(r.View); err != nil {
		return err
	}
	return s.enqueueJob(w, r, http.StatusAccepted, fsm.BeginWrite{Kind: string(kind), CustomMetadata: metadata, Details: details})
}

// updateRule is the job that changes or deletes one rule.
func (j *job) updateRule(ctx context.Context) error {
	_, note := tasks.ReadNote(j.task.Details)
	if j.details.Rule == nil {
		return j.changeRules(ctx, fsm.DeleteSearchRules{UIDs: []string{note.Rule}})
	}
	var patch meili.SearchRulePatch
	if err := json.Unmarshal(j.details.Rule, &patch); err != nil {
		return fmt.Errorf("read the change of search rule %s: %w", note.Rule, err)
	}
	var old *meili.SearchRule
	if stored := j.server.cluster.View().SearchRules[note.Rule]; stored != nil {
		rule, err := decodeRule(stored)
		if err != nil {
			return err
		}
		old = &rule
	}
	rule, err := marshal(patch.Apply(note.Rule, old, j.task.EnqueuedAt))
	if err != nil {
		return err
	}
	return j.changeRules(ctx, fsm.PutSearchRule{UID: note.Rule, Rule: rule})
}

// clearRules is the job that deletes all rules.
func (j *job) clearRules(ctx context.Context) error {
	uids := slices.Sorted(maps.Keys(j.server.cluster.View().SearchRules))
	j.details.DeletedDocuments = meili.CountOf(uint64(len(uids)))
	return j.changeRules(ctx, fsm.DeleteSearchRules{UIDs: uids})
}

// changeRules commits a change; runJobs tells the nodes.
func (j *job) changeRules(ctx context.Context, change fsm.TypedCommand[fsm.None]) error {
	_, err := fsm.Do(ctx, j.server.cluster, change)
	return err
}
