package proxy

import (
	"archive/tar"
	"bufio"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"

	"miroir/fsm"
)

// dumpArchive writes Meilisearch's dump format, version 6: a gzipped tar of JSON files (crates/dump of Meilisearch
// v1.50). Tasks and batches are left empty: they are Miroir's and mean nothing to the server that imports the dump.
type dumpArchive struct {
	zip  *gzip.Writer
	tar  *tar.Writer
	date time.Time
}

func newDumpArchive(w io.Writer, date time.Time) *dumpArchive {
	zip := gzip.NewWriter(w)
	return &dumpArchive{zip: zip, tar: tar.NewWriter(zip), date: date}
}

// writeHead adds everything but the indexes.
func (a *dumpArchive) writeHead(v *fsm.View) error {
	for _, name := range []string{"./", "indexes/", "tasks/", "tasks/update_files/", "batches/", "chat-completions-settings/"} {
		if err := a.directory(name); err != nil {
			return err
		}
	}
	metadata := struct {
		DumpVersion string `json:"dumpVersion"`
		DBVersion   string `json:"dbVersion"`
		DumpDate    string `json:"dumpDate"`
	}{"V6", meilisearchVersion, formatTime(a.date)}
	type hook struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	}
	webhooks := struct {
		Webhooks map[string]hook `json:"webhooks"`
	}{map[string]hook{}}
	for _, h := range v.Webhooks {
		headers := h.Headers
		if headers == nil {
			headers = map[string]string{}
		}
		webhooks.Webhooks[h.UUID] = hook{h.URL, headers}
	}
	features, err := featuresOf(v)
	if err != nil {
		return err
	}
	network, err := networkOf(v)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		value any
	}{{"metadata.json", metadata}, {"webhooks.json", webhooks}, {"experimental-features.json", features}, {"network.json", network}} {
		if err := a.json(file.name, file.value); err != nil {
			return err
		}
	}
	for _, workspace := range v.ChatWorkspaces {
		if err := a.file("chat-completions-settings/"+workspace.UID+".json", workspace.Settings); err != nil {
			return err
		}
	}
	var keys []byte
	for i := range v.Keys {
		line, err := marshal(keyOfDump(&v.Keys[i]))
		if err != nil {
			return err
		}
		keys = append(append(keys, line...), '\n')
	}
	for name, text := range map[string][]byte{"keys.jsonl": keys, "tasks/queue.jsonl": nil, "batches/queue.jsonl": nil} {
		if err := a.file(name, text); err != nil {
			return err
		}
	}
	if _, err := uuid.Parse(v.ClusterID); err != nil {
		return nil // the one who imports the dump makes its own
	}
	return a.file("instance_uid.uuid", []byte(v.ClusterID))
}

// writeIndex adds one index; documents is read from its start.
func (a *dumpArchive) writeIndex(uid string, ix *fsm.Index, documents *os.File) error {
	dir := "indexes/" + uid + "/"
	if err := a.directory(dir); err != nil {
		return err
	}
	metadata := dumpIndexMetadata{UID: uid, CreatedAt: formatTime(ix.CreatedAt), UpdatedAt: formatTime(ix.UpdatedAt)}
	if ix.PrimaryKey != "" {
		metadata.PrimaryKey = &ix.PrimaryKey
	}
	if err := a.json(dir+"metadata.json", metadata); err != nil {
		return err
	}
	settings := []byte(ix.Settings)
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	if err := a.file(dir+"settings.json", settings); err != nil {
		return err
	}
	size, err := documents.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := documents.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := a.header(dir+"documents.jsonl", tar.TypeReg, size); err != nil {
		return err
	}
	_, err = io.CopyN(a.tar, documents, size)
	return err
}

func (a *dumpArchive) json(name string, value any) error {
	text, err := marshal(value)
	if err != nil {
		return err
	}
	return a.file(name, text)
}

func (a *dumpArchive) file(name string, text []byte) error {
	if err := a.header(name, tar.TypeReg, int64(len(text))); err != nil {
		return err
	}
	_, err := a.tar.Write(text)
	return err
}

func (a *dumpArchive) directory(name string) error { return a.header(name, tar.TypeDir, 0) }

func (a *dumpArchive) header(name string, kind byte, size int64) error {
	header := &tar.Header{Name: name, Typeflag: kind, Size: size, Mode: 0o600, ModTime: a.date}
	if kind == tar.TypeDir {
		header.Mode = 0o700
	}
	return a.tar.WriteHeader(header)
}

// Close writes the end of the archive; the file below stays open.
func (a *dumpArchive) Close() error {
	if err := a.tar.Close(); err != nil {
		return err
	}
	return a.zip.Close()
}

// lineWriter writes lines through a buffer.
type lineWriter struct{ out *bufio.Writer }

func newLineWriter(w io.Writer) *lineWriter { return &lineWriter{bufio.NewWriterSize(w, 1<<16)} }

func (l *lineWriter) write(line []byte) error {
	if _, err := l.out.Write(line); err != nil {
		return err
	}
	return l.out.WriteByte('\n')
}

func (l *lineWriter) flush() error { return l.out.Flush() }
