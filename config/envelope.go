package config

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
)

// envelopeBytes is the memory that the defaults are made for.
const envelopeBytes = 3_750_000_000

// Derived is the source of values that follow from the memory and the processors that this process may use.
const Derived Source = "derived"

// FitMemory makes those sizes of this pod that no source sets, and that are not bounds of the cluster, as much larger or
// smaller as the memory is than what the defaults are made for: between a quarter and four times. It leaves a tenth of the
// memory to what the Go runtime does not count, unless GOMEMLIMIT says otherwise. 0 is no limit, and changes nothing.
func (c *Config) FitMemory(bytes uint64) {
	if bytes == 0 {
		return
	}
	c.memory = bytes
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(int64(min(bytes/10*9, math.MaxInt64)))
	}
	factor := min(max(float64(bytes)/envelopeBytes, 0.25), 4)
	for _, size := range []struct {
		name  string
		field *int
	}{
		{"server.max_concurrent_requests", &c.Server.MaxConcurrentRequests}, {"server.max_queued_requests", &c.Server.MaxQueuedRequests},
		{"connection_pool_per_node.max_idle", &c.Pool.MaxIdle}, {"connection_pool_per_node.max_total", &c.Pool.MaxTotal},
	} {
		if _, set := c.sources[size.name]; !set {
			*size.field = max(int(float64(*size.field)*factor), 1)
			c.sources[size.name] = Derived
		}
	}
}

// MemoryLimit is what FitMemory was told, in bytes; 0: no limit.
func (c *Config) MemoryLimit() uint64 { return c.memory }

// showRuntime adds what bounds the process as a whole, under the names of the Go runtime's variables.
func showRuntime(shown map[string]Setting) {
	show := func(variable string, value any, bounded bool) {
		s := Setting{Value: value, Source: FromDefault, Scope: "pod", NeedsRestart: true}
		if _, set := os.LookupEnv(variable); set {
			s.Source = FromEnv
		} else if bounded {
			s.Source = Derived
		}
		shown[variable] = s
	}
	limit := debug.SetMemoryLimit(-1)
	show("GOMEMLIMIT", fmt.Sprint(limit), limit < math.MaxInt64)
	show("GOMAXPROCS", runtime.GOMAXPROCS(0), true)
}
