package fsm

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// Backup writes the state as of one moment, with a seal at its end; Restore reads it.
func (f *FSM) Backup(w io.Writer) error {
	_, stream, err := f.SnapshotStore().Open(snapshotID)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, stream)
	return errors.Join(err, stream.Close())
}

// ReplaceMembers makes other pods the members of the cluster, and the state one that stands for the whole log up to its
// index, or up to coveredIndex of coveredTerm if that is later. For the offline repair of a cluster, while no Raft runs on
// the state. It returns the index and term that the state stands for.
func (f *FSM) ReplaceMembers(members raft.Configuration, coveredIndex, coveredTerm uint64) (index, term uint64, err error) {
	var at appliedRow
	err = f.write(func(tx *bbolt.Tx) error {
		meta, err := snapshotMeta(tx)
		if err != nil {
			return err
		}
		at = appliedRow{meta.Index, meta.Term}
		if coveredIndex > at.Index {
			at = appliedRow{coveredIndex, coveredTerm}
		}
		rows := tx.Bucket(bucketMeta)
		if err := rows.Put(rowCovered, marshal(at)); err != nil {
			return err
		}
		return rows.Put(rowRaftConfig, marshal(raftConfigRow{at.Index, members}))
	})
	return at.Index, at.Term, err
}
