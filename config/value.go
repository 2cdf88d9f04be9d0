package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is one field seen as a key's value: set from text, shown as JSON. An error of set says what is allowed and
// leaves the field as it was.
type value interface {
	set(text string) error
	get() any
}

// field is a value by functions.
type field struct {
	parse func(string) error
	show  func() any
}

func (f field) set(s string) error { return f.parse(s) }
func (f field) get() any           { return f.show() }

func text(p *string) value {
	return field{func(s string) error { *p = s; return nil }, func() any { return *p }}
}

func boolean(p *bool) value {
	return field{func(s string) error {
		switch s {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			return fmt.Errorf("%q is neither true nor false", s)
		}
		return nil
	}, func() any { return *p }}
}

// not shows a field that says the opposite of its key.
func not(p *bool) value {
	var opposite bool
	plain := boolean(&opposite)
	return field{func(s string) error {
		err := plain.set(s)
		if err == nil {
			*p = !opposite
		}
		return err
	}, func() any { return !*p }}
}

func choice(p *string, allowed ...string) value {
	return field{func(s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(allowed, ", "))
		}
		*p = s
		return nil
	}, func() any { return *p }}
}

// list is comma separated.
func list(p *[]string) value {
	return field{func(s string) error {
		*p = nil
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*p = append(*p, item)
			}
		}
		return nil
	}, func() any { return append([]string{}, *p...) }}
}

// networks are prefixes like 10.0.0.0/8, comma separated.
func networks(p *[]netip.Prefix) value {
	return field{func(s string) error {
		var texts []string
		if err := list(&texts).set(s); err != nil {
			return err
		}
		prefixes := make([]netip.Prefix, len(texts))
		for i, text := range texts {
			var err error
			if prefixes[i], err = netip.ParsePrefix(text); err != nil {
				return fmt.Errorf("%q is not a network like 10.0.0.0/8", text)
			}
		}
		*p = prefixes
		return nil
	}, func() any { return append([]netip.Prefix{}, *p...) }}
}

// number is one between low and high, both allowed.
func number[T int | int64 | uint32 | uint64 | float64](p *T, low, high T) value {
	return field{func(s string) error {
		n, err := parseNumber[T](s)
		if err != nil {
			return err
		}
		if !(n >= low && n <= high) { // so that NaN is refused too
			return fmt.Errorf("%s is not between %v and %v", s, low, high)
		}
		*p = n
		return nil
	}, func() any { return *p }}
}

func parseNumber[T int | int64 | uint32 | uint64 | float64](s string) (n T, err error) {
	switch p := any(&n).(type) {
	case *float64:
		*p, err = strconv.ParseFloat(s, 64)
	case *uint64:
		*p, err = strconv.ParseUint(s, 10, 64)
	default:
		var wide int64
		wide, err = strconv.ParseInt(s, 10, 64)
		if n = T(wide); err == nil && int64(n) != wide {
			err = strconv.ErrRange
		}
	}
	if err != nil {
		return n, fmt.Errorf("%q is not a number that fits", s)
	}
	return n, nil
}

// named is a number with names for values outside its range.
func named(p *int, low, high int, names map[string]int) value {
	plain := number(p, low, high)
	return field{func(s string) error {
		if n, ok := names[s]; ok {
			*p = n
			return nil
		}
		if err := plain.set(s); err != nil {
			return fmt.Errorf("%q is neither %s nor a number between %d and %d", s, strings.Join(sortedKeys(names), ", "), low, high)
		}
		return nil
	}, func() any {
		for name, n := range names {
			if n == *p {
				return name
			}
		}
		return *p
	}}
}

func millis(p *time.Duration, low, high int64) value  { return duration(p, time.Millisecond, low, high) }
func seconds(p *time.Duration, low, high int64) value { return duration(p, time.Second, low, high) }

func duration(p *time.Duration, unit time.Duration, low, high int64) value {
	n := int64(*p / unit)
	plain := number(&n, low, high)
	return field{func(s string) error {
		if err := plain.set(s); err != nil {
			return err
		}
		*p = time.Duration(n) * unit
		return nil
	}, func() any { return int64(*p / unit) }}
}

// schedule is "every" and a duration of at least a minute.
func schedule(p *string) value {
	return field{func(s string) error {
		rest, ok := strings.CutPrefix(s, "every ")
		pause, err := time.ParseDuration(rest)
		if !ok || err != nil || pause < time.Minute {
			return fmt.Errorf("%q is not a schedule: write every and a time of at least a minute, as in \"every 6h\"", s)
		}
		*p = s
		return nil
	}, func() any { return *p }}
}
