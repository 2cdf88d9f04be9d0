package proxy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"syscall"

	"miroir/meili"
)

// volume is what the data directory is on, in bytes.
type volume struct{ free, total uint64 }

const (
	// minFreeBytes is what is left to the cluster's own commands: the state and the log grow in steps of up to half of it.
	minFreeBytes = 32 << 20
	// amplyFree is enough on a volume of any size, fewBytesFree enough to refuse nothing.
	amplyFree, fewBytesFree = 10 << 30, 3 << 30
)

// full reports that clients' writes are refused: less than 3 % is left, at most fewBytesFree, or less than minFreeBytes unless that is
// more than a quarter of all. What the cluster commits for itself may use the rest.
func (v volume) full() bool {
	return v.free < max(min(v.total/100*3, fewBytesFree), min(minFreeBytes, v.total/4))
}

// filling reports that somebody should look.
func (v volume) filling() bool { return v.full() || v.free < min(v.total/10, amplyFree) }

// volumeOf asks the operating system.
func volumeOf(path string) (volume, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		return volume{}, err
	}
	return volume{stat.Bavail * uint64(stat.Bsize), stat.Blocks * uint64(stat.Bsize)}, nil
}

// fullDisk says how little room this pod has, "" while there is enough. A volume that cannot be asked is taken for good.
func (s *Server) fullDisk() string {
	v, err := s.opts.volume()
	if err != nil || !v.full() {
		return ""
	}
	return fmt.Sprintf("%d of %d MiB are free in this pod's data directory", v.free>>20, v.total>>20)
}

// checkDisk refuses what makes the state grow while the disk is full.
func (s *Server) checkDisk() error {
	if full := s.fullDisk(); full != "" {
		return diskFull(full)
	}
	return nil
}

// blameDisk adds to an error what is behind it: without room a pod may neither lead nor follow.
func (s *Server) blameDisk(err error) error {
	var known *meili.Error
	full := s.fullDisk()
	if full == "" || !errors.As(err, &known) || known.Code != codeNoLeader {
		return err
	}
	problem := *known
	problem.Message += " Only " + full + "."
	return &problem
}

// diskFull has Meilisearch's code. Unlike a single server's it says that trying again may help: Miroir's disk holds no documents.
func diskFull(reason string) *meili.Error {
	problem := meili.Errorf(meili.CodeNoSpaceLeftOnDevice, "Nothing can be written for now: %s. Searches go on. Make room; nothing needs to be restarted.", reason)
	problem.Status = http.StatusServiceUnavailable
	return problem
}

// isDiskFull reports an error of this pod's own files.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// freeBytes is for the metric; not a number where the volume cannot be asked.
func (s *Server) freeBytes() float64 {
	v, err := s.opts.volume()
	if err != nil {
		return math.NaN()
	}
	return float64(v.free)
}
