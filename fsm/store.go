package fsm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Buckets of the state file. Numbers in keys are big endian, so that order of keys is order of numbers.
var (
	bucketMeta         = []byte("meta")         // rows below
	bucketNodes        = []byte("nodes")        // node id → Node
	bucketIndexes      = []byte("indexes")      // index id → Index
	bucketNames        = []byte("names")        // visible name → index id
	bucketRoutes       = []byte("routes")       // name at the end of the log → index id
	bucketKeys         = []byte("keys")         // sequence number → Key
	bucketIntents      = []byte("intents")      // task uid → open Intent
	bucketWrites       = []byte("writes")       // write id of an open intent → task uid
	bucketTasks        = []byte("tasks")        // task uid → Task
	bucketOpen         = []byte("open")         // index id, task uid of an unfinished task → nothing
	bucketBits         = []byte("bits")         // see taskbits.go
	bucketTimes        = []byte("times")        // which time, Unix nanoseconds, task uid → nothing
	bucketBatches      = []byte("batches")      // batch uid, task uid → nothing
	bucketSessions     = []byte("sessions")     // session, 0, index id, task uid of an unfinished task → SessionWrite
	bucketSessionTasks = []byte("sessionTasks") // task uid → key in sessions
	bucketSearchRules  = []byte("searchRules")  // uid → SearchRule
	bucketFreed        = []byte("freed")        // node-side name of an index that is gone → freedName
	bucketFreedOrder   = []byte("freedOrder")   // Raft index at which it was freed, node-side name → nothing

	allBuckets = [][]byte{bucketMeta, bucketNodes, bucketIndexes, bucketNames, bucketRoutes, bucketKeys, bucketIntents,
		bucketWrites, bucketTasks, bucketOpen, bucketBits, bucketTimes, bucketBatches, bucketSessions, bucketSessionTasks, bucketSearchRules,
		bucketFreed, bucketFreedOrder}
)

// Rows of the meta bucket.
var (
	rowFormat     = []byte("format")     // formatVersion
	rowApplied    = []byte("applied")    // appliedRow
	rowCovered    = []byte("covered")    // appliedRow of the last snapshot: entries up to it carry nothing more
	rowRaftConfig = []byte("raftConfig") // raftConfigRow
	rowCounters   = []byte("counters")   // counters
	rowConfig     = []byte("config")     // Config
	rowGroups     = []byte("groups")     // []*Group
	rowFeatures   = []byte("features")   // opaque
	rowNetwork    = []byte("network")    // opaque
	rowLeftovers  = []byte("leftovers")  // []Leftover
	rowFlips      = []byte("flips")      // []flip
	rowRetired    = []byte("retired")    // ids of removed nodes
	rowWebhooks   = []byte("webhooks")   // []Webhook
	rowChats      = []byte("chats")      // []ChatWorkspace
	rowJobs       = []byte("jobs")       // []Job
	rowRebalance  = []byte("rebalance")  // RebalanceState
	rowDeletion   = []byte("deletion/")  // and the uid of an unfinished deletion of tasks → Deletion
)

// formatVersion is that of the file; a file of another version is refused.
const formatVersion = 1

// appliedRow is the place in the Raft log the file corresponds to.
type appliedRow struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// counters is what nearly every command changes.
type counters struct {
	ClusterID        string        `json:"clusterId"`
	Level            int           `json:"level,omitempty"` // 0: 1
	NextIndexID      IndexID       `json:"nextIndexId"`
	NextKey          uint64        `json:"nextKey"`
	NextTaskUID      uint32        `json:"nextTaskUid"`
	NextBatchUID     uint32        `json:"nextBatchUid"`
	LastUpdate       time.Time     `json:"lastUpdate"`
	NumOpenIntents   int           `json:"numOpenIntents"`
	NumOpenTasks     int           `json:"numOpenTasks"`
	NumSessionWrites int           `json:"numSessionWrites,omitempty"`
	SessionAge       time.Duration `json:"sessionAge,omitempty"` // see session.go
	LastSessionWrite time.Time     `json:"lastSessionWrite,omitzero"`
	NumFreedNames    int           `json:"numFreedNames,omitempty"`
}

func openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("state file %s is in use: a pod runs on it, which must be stopped first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open state file %s: %w", path, err)
	}
	if err := db.Update(prepareFile); err != nil {
		db.Close()
		return nil, fmt.Errorf("prepare state file %s: %w", path, err)
	}
	return db, nil
}

func prepareFile(tx *bbolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if meta.Get(rowFormat) == nil {
		return meta.Put(rowFormat, marshal(formatVersion))
	}
	var version int
	if err := getRow(tx, rowFormat, &version); err != nil {
		return err
	}
	if version != formatVersion {
		return fmt.Errorf("format version is %d, this program knows %d", version, formatVersion)
	}
	return nil
}

// getRow reads a row of the meta bucket; a missing row leaves into as it is.
func getRow(tx *bbolt.Tx, row []byte, into any) error {
	raw := tx.Bucket(bucketMeta).Get(row)
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read %s: %w", row, err)
	}
	return nil
}

// loadView reads all that lives in memory.
func loadView(tx *bbolt.Tx) (*View, error) {
	v := &View{Nodes: map[NodeID]*Node{}, Indexes: map[IndexID]*Index{}, SearchRules: map[string]*SearchRule{}, Config: DefaultConfig()}
	var applied, covered appliedRow
	rows := []struct {
		row  []byte
		into any
	}{
		{rowApplied, &applied}, {rowCovered, &covered}, {rowCounters, &v.counters}, {rowConfig, &v.Config}, {rowGroups, &v.Groups},
		{rowFeatures, &v.Features}, {rowNetwork, &v.Network}, {rowLeftovers, &v.Leftovers}, {rowFlips, &v.flips}, {rowRetired, &v.retired},
		{rowWebhooks, &v.Webhooks}, {rowChats, &v.ChatWorkspaces},
		{rowJobs, &v.Jobs}, {rowRebalance, &v.Rebalance},
	}
	for _, r := range rows {
		if err := getRow(tx, r.row, r.into); err != nil {
			return nil, err
		}
	}
	v.AppliedIndex = max(applied.Index, covered.Index)
	v.PlacedAt, v.RulesAt = v.AppliedIndex, v.AppliedIndex
	v.publishCounters()
	return v, loadTables(tx, v)
}

func loadTables(tx *bbolt.Tx, v *View) error {
	err := eachRow(tx, bucketNodes, func(_ []byte, n *Node) { v.Nodes[n.ID] = n })
	if err != nil {
		return err
	}
	if err := eachRow(tx, bucketIndexes, func(_ []byte, ix *Index) { v.Indexes[ix.ID] = ix }); err != nil {
		return err
	}
	if err := eachRow(tx, bucketKeys, func(_ []byte, k *Key) { v.Keys = append(v.Keys, *k) }); err != nil {
		return err
	}
	if err := eachRow(tx, bucketSearchRules, func(_ []byte, r *SearchRule) { v.SearchRules[r.UID] = r }); err != nil {
		return err
	}
	v.Names, v.Routes = loadNames(tx, bucketNames), loadNames(tx, bucketRoutes)
	return nil
}

func loadNames(tx *bbolt.Tx, bucket []byte) map[string]IndexID {
	names := map[string]IndexID{}
	c := tx.Bucket(bucket).Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.Next() {
		names[string(k)] = IndexID(binary.BigEndian.Uint64(raw))
	}
	return names
}

func eachRow[T any](tx *bbolt.Tx, bucket []byte, f func(key []byte, row *T)) error {
	c := tx.Bucket(bucket).Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.Next() {
		row := new(T)
		if err := json.Unmarshal(raw, row); err != nil {
			return fmt.Errorf("read %s %x: %w", bucket, k, err)
		}
		f(k, row)
	}
	return nil
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
