package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is where a value comes from.
type Source string

// Strongest first. Replicated is what the cluster committed.
const (
	FromFlag    Source = "flag"
	FromEnv     Source = "environment"
	FromFile    Source = "file"
	FromDefault Source = "default"
	Replicated  Source = "cluster"
)

// DefaultFile is read when it is there and no other is named.
const DefaultFile = "/etc/miroir/miroir.yaml"

// Sources are what a configuration is read from.
type Sources struct {
	Flags  map[string]string // by key
	Nodes  []Node            // of flags; they replace those of the file
	Lookup func(variable string) (string, bool)
	File   string // empty: MIROIR_CONFIG, then DefaultFile if it is there
}

// Load reads a configuration: flag, environment, file, default, in this order. An error names the key.
func Load(s Sources) (*Config, error) {
	c := Default()
	file, nodes, err := readFile(s)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		k := &keys[i]
		text, source, err := s.find(k.name, file)
		if k.secret && err == nil && source == FromDefault {
			text, source, err = s.findSecretFile(k, file)
		}
		if err != nil {
			return nil, err
		}
		if source == FromDefault {
			continue
		}
		if err := k.at(c).set(text); err != nil {
			return nil, fmt.Errorf("%s (%s): %w", k.name, source, err)
		}
		c.sources[k.name] = source
	}
	if c.Nodes = s.Nodes; len(c.Nodes) == 0 {
		c.Nodes = nodes
	}
	for i := range c.Nodes {
		if n := &c.Nodes[i]; n.KeyEnv != "" {
			key, ok := s.Lookup(n.KeyEnv)
			if !ok {
				return nil, fmt.Errorf("nodes: %s takes its key from the variable %s, which is not set", n.ID, n.KeyEnv)
			}
			n.Key = key
		}
	}
	return c, c.Validate()
}

// find looks for a key's text in the order of precedence.
func (s *Sources) find(name string, file map[string]string) (string, Source, error) {
	if text, ok := s.Flags[name]; ok {
		return text, FromFlag, nil
	}
	if text, ok := s.Lookup(variable(name)); ok {
		return text, FromEnv, nil
	}
	if text, ok := file[name]; ok {
		return text, FromFile, nil
	}
	return "", FromDefault, nil
}

// findSecretFile reads a secret from the file that NAME_file names.
func (s *Sources) findSecretFile(k *key, file map[string]string) (string, Source, error) {
	path, source, err := s.find(k.name+"_file", file)
	if err != nil || source == FromDefault {
		return "", source, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", source, fmt.Errorf("%s_file: %w", k.name, err)
	}
	return strings.TrimRight(string(content), "\r\n"), source, nil
}

// readFile reads the file's keys and nodes.
func readFile(s Sources) (map[string]string, []Node, error) {
	path := s.File
	if path == "" {
		path, _ = s.Lookup("MIROIR_CONFIG")
	}
	named := path != ""
	if !named {
		path = DefaultFile
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	values, nodes, err := parseFile(content)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return values, nodes, nil
}

// parseFile is the text of each key in a YAML file, and its nodes.
func parseFile(content []byte) (map[string]string, []Node, error) {
	var root yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&root); err != nil || len(root.Content) == 0 {
		if len(bytes.TrimSpace(content)) == 0 {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	f := fileReader{values: map[string]string{}}
	err := f.read("", root.Content[0])
	return f.values, f.nodes, err
}

type fileReader struct {
	values map[string]string
	nodes  []Node
}

// read flattens what is below prefix: {scatter: {node_timeout_ms: 1}} is scatter.node_timeout_ms.
func (f *fileReader) read(prefix string, n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case prefix == "nodes":
		return f.readNodes(n)
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if prefix != "" {
				name = prefix + "." + name
			}
			if err := f.read(name, n.Content[i+1]); err != nil {
				return err
			}
		}
		return nil
	case !known(prefix):
		return fmt.Errorf("line %d: unknown key %s", n.Line, prefix)
	case f.has(prefix):
		return fmt.Errorf("line %d: %s is given twice", n.Line, prefix)
	case n.Kind == yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			items[i] = item.Value
		}
		f.values[prefix] = strings.Join(items, ",")
	case n.Tag == "!!null":
		return fmt.Errorf("line %d: %s has no value: remove it for its default", n.Line, prefix)
	default:
		f.values[prefix] = n.Value
	}
	return nil
}

func (f *fileReader) has(name string) bool {
	_, ok := f.values[name]
	return ok
}

// readNodes reads the list of nodes, of which no member may be misspelt.
func (f *fileReader) readNodes(n *yaml.Node) error {
	content, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f.nodes); err != nil {
		return fmt.Errorf("line %d: nodes: %w", n.Line, err)
	}
	return nil
}

// known reports a key, or the file of a secret.
func known(name string) bool {
	if find(name) != nil {
		return true
	}
	k := find(strings.TrimSuffix(name, "_file"))
	return k != nil && k.secret
}

// find is the key of that name, or nil.
func find(name string) *key {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

// UnknownVariables lists the variables of environ (NAME=value) that begin with MIROIR_ and are neither a key nor one of
// extra. They may be meant for somebody else, so they stop nothing.
func UnknownVariables(environ []string, extra ...string) []string {
	names := map[string]bool{"MIROIR_CONFIG": true}
	for _, name := range extra {
		names[name] = true
	}
	for i := range keys {
		names[keys[i].variable()] = true
		if keys[i].secret {
			names[keys[i].variable()+"_FILE"] = true
		}
	}
	var unknown []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "MIROIR_") && !names[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
