package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"miroir/fsm"
)

// spool holds the documents of one batch in the order they came: in memory up to a limit, then in a temporary
// file. Documents are framed with their shard, so that any number of nodes can read it at once, each only the
// shards it holds; replicas share one spool. add and seal are for one goroutine; reader is safe for concurrent
// use once sealed. The owner closes it when no reader is needed any more.
type spool struct {
	dir    string
	memory int // bytes kept in memory before the file is used

	buffer []byte
	file   *os.File
	out    *bufio.Writer
	size   int64

	// shardBytes and shardDocuments count the bytes of each shard's documents, and how many they are.
	shardBytes     []int64
	shardDocuments []int
	numDocuments   int
	fields         [][]byte
	repeats        []repeat // in the order of their places
}

// repeat is a document that takes the place of an earlier one of the batch.
type repeat struct{ place, first uint32 }

// frameBytes is the length of a frame's head: shard and document length, four bytes each.
const frameBytes = 8

func newSpool(dir string, memory int64, shards uint32) *spool {
	return &spool{
		dir: dir, memory: int(memory),
		shardBytes: make([]int64, shards), shardDocuments: make([]int, shards), fields: make([][]byte, shards),
	}
}

// add appends one document, a compact JSON object.
func (s *spool) add(shard fsm.ShardID, document []byte) error {
	s.shardBytes[shard] += int64(len(document))
	s.shardDocuments[shard]++
	s.numDocuments++
	var head [frameBytes]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(shard))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(document)))
	s.size += int64(frameBytes + len(document))
	if s.file == nil && s.size <= int64(s.memory) {
		s.buffer = append(append(s.buffer, head[:]...), document...)
		return nil
	}
	if err := s.openFile(); err != nil {
		return err
	}
	_, headErr := s.out.Write(head[:])
	_, err := s.out.Write(document)
	return wrapSpool(errors.Join(headErr, err))
}

// openFile moves what is in memory to the temporary file. The file has no name any more as soon as it is open,
// so that nothing is left behind by a process that dies.
func (s *spool) openFile() error {
	if s.file != nil {
		return nil
	}
	file, err := os.CreateTemp(s.dir, "miroir-body-*")
	if err != nil {
		return wrapSpool(err)
	}
	s.file, s.out = file, bufio.NewWriterSize(file, 64<<10)
	if err := os.Remove(file.Name()); err != nil {
		return wrapSpool(err)
	}
	_, err = s.out.Write(s.buffer)
	s.buffer = nil
	return wrapSpool(err)
}

func wrapSpool(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("spool the request body: %w", err)
}

// seal ends writing.
func (s *spool) seal() error {
	if s.out == nil {
		return nil
	}
	return wrapSpool(s.out.Flush())
}

// field is what ends a document of the shard in place of its closing brace: the hidden shard field and the brace.
func (s *spool) field(shard fsm.ShardID) []byte {
	if s.fields[shard] == nil {
		s.fields[shard] = []byte(`,"` + shardField + `":"` + EncodeShard(shard) + `"}`)
	}
	return s.fields[shard]
}

// bytesOf is the length of what reader gives for the same shards and numbering. The closing brace of a document makes room
// for the newline.
func (s *spool) bytesOf(shards []fsm.ShardID, numbers numbering) int64 {
	total := int64(0)
	for _, shard := range s.shardsOrAll(shards) {
		total += s.shardBytes[shard] + int64(s.shardDocuments[shard]*len(s.field(shard))) + numbers.bytesOf(shard, s.shardDocuments[shard])
	}
	return total
}

func (s *spool) shardsOrAll(shards []fsm.ShardID) []fsm.ShardID {
	if shards != nil {
		return shards
	}
	all := make([]fsm.ShardID, len(s.shardBytes))
	for i := range all {
		all[i] = fsm.ShardID(i)
	}
	return all
}

// touched lists the shards that hold at least one document, ascending.
func (s *spool) touched() []fsm.ShardID {
	var shards []fsm.ShardID
	for shard, n := range s.shardDocuments {
		if n > 0 {
			shards = append(shards, fsm.ShardID(shard))
		}
	}
	return shards
}

// documentsOf counts the documents of the given shards, nil for all.
func (s *spool) documentsOf(shards []fsm.ShardID) int {
	total := 0
	for _, shard := range s.shardsOrAll(shards) {
		total += s.shardDocuments[shard]
	}
	return total
}

// raw reads all frames from the beginning.
func (s *spool) raw() *bufio.Reader {
	if s.file == nil {
		return bufio.NewReader(bytes.NewReader(s.buffer))
	}
	return bufio.NewReaderSize(io.NewSectionReader(s.file, 0, s.size), 64<<10)
}

// each calls visit for every document in order; the document is valid until visit returns.
func (s *spool) each(visit func(document []byte) error) error {
	in := s.raw()
	var document []byte
	for {
		_, length, err := readFrame(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return wrapSpool(err)
		}
		if cap(document) < length {
			document = make([]byte, length)
		}
		document = document[:length]
		if _, err := io.ReadFull(in, document); err != nil {
			return wrapSpool(err)
		}
		if err := visit(document); err != nil {
			return err
		}
	}
}

// first is the first document of the given shards (nil: all), nil when they have none.
func (s *spool) first(shards []fsm.ShardID) ([]byte, error) {
	wanted, in := s.wanted(shards), s.raw()
	for {
		shard, length, err := readFrame(in)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, wrapSpool(err)
		}
		if wanted[shard] {
			document := make([]byte, length)
			_, err := io.ReadFull(in, document)
			return document, wrapSpool(err)
		}
		if _, err := in.Discard(length); err != nil {
			return nil, wrapSpool(err)
		}
	}
}

func readFrame(in *bufio.Reader) (fsm.ShardID, int, error) {
	var head [frameBytes]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, 0, err
	}
	return fsm.ShardID(binary.LittleEndian.Uint32(head[:4])), int(binary.LittleEndian.Uint32(head[4:])), nil
}

// reader gives the documents of the given shards (nil: all) as NDJSON, each with its hidden fields.
func (s *spool) reader(shards []fsm.ShardID, numbers numbering) io.ReadCloser {
	return &spoolReader{spool: s, in: s.raw(), wanted: s.wanted(shards), numbers: numbers}
}

// wanted says of each shard whether it is one of the given (nil: all).
func (s *spool) wanted(shards []fsm.ShardID) []bool {
	wanted := make([]bool, len(s.shardBytes))
	for _, shard := range s.shardsOrAll(shards) {
		wanted[shard] = true
	}
	return wanted
}

type spoolReader struct {
	spool   *spool
	in      *bufio.Reader
	wanted  []bool
	numbers numbering
	place   int    // in the batch, of the next document
	repeat  int    // of the spool's, the next
	body    int    // bytes of the current document still to come from in
	tail    []byte // what follows them
}

func (r *spoolReader) Close() error { return nil }

// Read implements io.Reader.
func (r *spoolReader) Read(p []byte) (int, error) {
	if r.body == 0 && len(r.tail) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if r.body == 0 {
		n := copy(p, r.tail)
		r.tail = r.tail[n:]
		return n, nil
	}
	n, err := r.in.Read(p[:min(len(p), r.body)])
	r.body -= n
	if r.body == 0 && n > 0 {
		_, err = r.in.Discard(1) // the closing brace: it is part of the tail
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next moves to the next document of a wanted shard.
func (r *spoolReader) next() error {
	for {
		shard, length, err := readFrame(r.in)
		if err != nil {
			return err
		}
		place := r.nextPlace()
		if r.wanted[shard] {
			r.body = length - 1
			r.tail = r.numbers.appendField(make([]byte, 0, 128), place)
			r.tail = append(append(r.tail, r.spool.field(shard)...), '\n')
			return nil
		}
		if _, err := r.in.Discard(length); err != nil {
			return err
		}
	}
}

// nextPlace is where the next document belongs.
func (r *spoolReader) nextPlace() int {
	place, repeats := r.place, r.spool.repeats
	r.place++
	if r.repeat == len(repeats) || repeats[r.repeat].place != uint32(place) {
		return place
	}
	r.repeat++
	return int(repeats[r.repeat-1].first)
}

// Close forgets the documents. It may be called twice.
func (s *spool) Close() error {
	s.buffer = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
