package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
)

// commandVersion is the first byte of every encoded command. It changes when the envelope does, not with the commands.
const commandVersion = 1

// commandType is one row of the dispatch table. Tags are for ever: a type that goes leaves its tag unused.
type commandType struct {
	tag          byte
	level        int // the feature level it came with, see Level
	goType       reflect.Type
	decode       func(payload []byte) (Command, error)
	decodeResult func(data []byte) (any, error)
}

var commandTypes = []commandType{
	row[Bootstrap](1), row[SetConfig](2), row[RaiseLevel](3),
	row[AddNode](10), row[SetNodeState](11), row[RemoveNode](12), row[MarkNodeStale](13), row[RecordNodeTask](14),
	row[AddGroup](20), row[SetGroupState](21), row[RemoveGroup](22),
	row[ForgetLeftover](30), row[SetSpread](31), row[ExpandIndex](32), row[MarkReplicas](33), row[ActivateReplica](34),
	row[GiveUpSettings](36), row[UnfreezeIndex](37),
	row[BeginWrite](40), row[EndWrite](41),
	row[StartTasks](50), row[FinishTask](51), row[CancelTasks](52), row[DeleteTasks](53),
	row[PutKey](60), row[DeleteKey](61), row[SetFeatures](62), row[SetNetwork](63),
	row[PutWebhook](70), row[DeleteWebhook](71), row[PutChatWorkspace](72), row[DeleteChatWorkspace](73),
	row[PutSearchRule](74), row[DeleteSearchRules](75),
	row[StartJob](80), row[EndJob](81), row[SetRebalance](82),
}

var (
	commandsByTag  = map[byte]commandType{}
	commandsByType = map[reflect.Type]commandType{}
)

func init() {
	for _, c := range commandTypes {
		commandsByTag[c.tag] = c
		commandsByType[c.goType] = c
	}
}

func row[C TypedCommand[R], R any](tag byte) commandType {
	return commandType{
		tag:    tag,
		level:  1, // a row of a later level says so by its own
		goType: reflect.TypeFor[C](),
		decode: func(payload []byte) (Command, error) {
			var c C
			err := unmarshalStrict(payload, &c)
			return c, err
		},
		decodeResult: func(data []byte) (any, error) {
			var r R
			err := json.Unmarshal(data, &r)
			return r, err
		},
	}
}

// Encode returns the log entry of a command: version byte, type tag, JSON.
func Encode(cmd Command) ([]byte, error) {
	ct, ok := commandsByType[reflect.TypeOf(cmd)]
	if !ok {
		return nil, fmt.Errorf("encode command: %T is not in the table", cmd)
	}
	buf := bytes.NewBuffer([]byte{commandVersion, ct.tag})
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(cmd); err != nil {
		return nil, fmt.Errorf("encode %T: %w", cmd, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Decode reads a log entry. Unknown versions, tags and fields are errors: a pod that cannot understand all of a command
// must stop, for ignoring a part of it would make its state differ from the others'.
func Decode(entry []byte) (Command, error) {
	if len(entry) < 2 {
		return nil, fmt.Errorf("decode command: %d bytes are too few", len(entry))
	}
	if entry[0] != commandVersion {
		return nil, fmt.Errorf("decode command: version %d is unknown, this program knows %d", entry[0], commandVersion)
	}
	ct, ok := commandsByTag[entry[1]]
	if !ok {
		return nil, fmt.Errorf("decode command: type tag %d is unknown", entry[1])
	}
	cmd, err := ct.decode(entry[2:])
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", ct.goType.Name(), err)
	}
	return cmd, nil
}

// DecodeResult reads the JSON of a result of cmd, for a command that another pod applied.
func DecodeResult(cmd Command, data []byte) (any, error) {
	ct, ok := commandsByType[reflect.TypeOf(cmd)]
	if !ok {
		return nil, fmt.Errorf("decode result: %T is not in the table", cmd)
	}
	return ct.decodeResult(data)
}

func unmarshalStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("data after the value")
	}
	return nil
}

// marshal is json.Marshal that leaves <, > and & alone, so that opaque JSON comes back as it went in.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	must(enc.Encode(v))
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// must stops the process: the state could not be read or written, and going on would diverge.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("fsm: replicated state cannot be read or written: %v", err))
	}
}
