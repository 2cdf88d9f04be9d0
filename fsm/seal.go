package fsm

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/zeebo/xxh3"
)

// A state file on its way carries a seal: a mark and the xxh3 of all bytes before it. bbolt does not survive opening a
// file that was cut off, so nothing is opened whose seal is not intact.
const (
	sealMark  = "miroir\x00\x01"
	sealBytes = int64(len(sealMark)) + 16
)

// errSeal is the error for a stream that broke off, was changed on its way, or is something else.
var errSeal = errors.New("the stream is incomplete or damaged: its seal is not intact")

// sealedStream reads what a source writes, followed by its seal.
type sealedStream struct {
	*io.PipeReader
	done sync.WaitGroup
}

// newSealedStream streams source in the background and calls release when it has ended or the stream is closed.
func newSealedStream(source io.WriterTo, release func() error) *sealedStream {
	r, w := io.Pipe()
	s := &sealedStream{PipeReader: r}
	s.done.Go(func() {
		hash := xxh3.New()
		_, err := source.WriteTo(io.MultiWriter(w, hash))
		if err == nil {
			_, err = w.Write(seal(hash))
		}
		w.CloseWithError(errors.Join(err, release()))
	})
	return s
}

// Close ends the stream, read to its end or not, and waits for the source's release.
func (s *sealedStream) Close() error {
	err := s.PipeReader.Close()
	s.done.Wait()
	return err
}

func seal(hash *xxh3.Hasher) []byte {
	sum := hash.Sum128()
	mark := binary.BigEndian.AppendUint64([]byte(sealMark), sum.Hi)
	return binary.BigEndian.AppendUint64(mark, sum.Lo)
}

// unseal checks a received file's seal, removes it, syncs the file and closes it in any case.
func unseal(file *os.File) error {
	return errors.Join(cutSeal(file), file.Sync(), file.Close())
}

func cutSeal(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size -= sealBytes
	if size <= 0 {
		return errSeal
	}
	hash := xxh3.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, size)); err != nil {
		return err
	}
	got := make([]byte, sealBytes)
	if _, err := file.ReadAt(got, size); err != nil {
		return err
	}
	if string(got) != string(seal(hash)) {
		return errSeal
	}
	return file.Truncate(size)
}
