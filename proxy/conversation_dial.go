package proxy

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// internalNetworks are those that the internet does not reach (IANA's registries of special-purpose addresses), as far as
// netip has no predicate for them.
var internalNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
}

// errRejectedIP has Meilisearch's words.
//
//lint:ignore ST1005 clients see them
var errRejectedIP = errors.New("Rejected IP")

// modelTransport reaches the internet and the allowed networks. The address is judged when it is dialled, so that neither
// a name nor a redirect leads inside: who may name the provider of a model may not look around with it.
func modelTransport(allowed []netip.Prefix) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !mayReach(addr.Addr(), allowed) {
			return errRejectedIP
		}
		return nil
	}}
	return &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

func mayReach(ip netip.Addr, allowed []netip.Prefix) bool {
	ip = ip.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(ip) }
	internal := !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(internalNetworks, within)
	return !internal || slices.ContainsFunc(allowed, within)
}
