package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report prints a column for each side, and for those behind the first what they are to it.
func report(o options, sides []*side) {
	fmt.Printf("%d node(s), RF %d, spread %s, %d client(s), %d rounds of %s each side%s\n\n",
		o.Nodes, o.RF, o.Spread, o.Clients, o.Rounds, o.Round, machineLoad())
	header, rule := "| |", "|---|"
	for i, s := range sides {
		slices.Sort(s.latencies)
		header, rule = header+" "+s.name+" |", rule+"---|"
		if i > 0 {
			header, rule = header+" ratio |", rule+"---|"
		}
	}
	fmt.Println(header + "\n" + rule)
	row(sides, "p50", "%.2f ms", func(s *side) float64 { return s.percentile(0.5) })
	row(sides, "p95", "%.2f ms", func(s *side) float64 { return s.percentile(0.95) })
	row(sides, "p99", "%.2f ms", func(s *side) float64 { return s.percentile(0.99) })
	row(sides, "requests/s", "%.0f", func(s *side) float64 { return float64(len(s.latencies)) / (float64(o.Rounds) * o.Round.Seconds()) })
	fmt.Print("| Miroir's CPU per request | |")
	for _, s := range sides[1:] {
		if s.pid == 0 {
			fmt.Print(" | |")
			continue
		}
		fmt.Printf(" %.0f µs | |", float64(s.cpu.Microseconds())/float64(len(s.latencies)))
	}
	fmt.Println()
}

func row(sides []*side, name, format string, of func(*side) float64) {
	fmt.Printf("| %s |", name)
	for i, s := range sides {
		fmt.Printf(" "+format+" |", of(s))
		if i > 0 {
			fmt.Printf(" %.2f |", of(s)/of(sides[0]))
		}
	}
	fmt.Println()
}

// percentile is in milliseconds. latencies must be sorted.
func (s *side) percentile(p float64) float64 {
	at := s.latencies[min(len(s.latencies)-1, int(p*float64(len(s.latencies))))]
	return float64(at.Microseconds()) / 1000
}

// cpuTime is what a process has used so far, to 10 ms; 0 where the system does not tell (proc(5) does on Linux).
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from field 3 on: the name may hold spaces
	if len(fields) < 13 {
		return 0
	}
	var ticks int
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// machineLoad tells how busy the machine was, where the system does.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return ", load of the machine " + strings.Fields(string(text))[0]
}
