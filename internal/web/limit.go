package web

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"popeye/internal/voter"
)

const (
	// limitedNetworks bounds the memory of a Limiter: about 100 bytes each.
	limitedNetworks = 1 << 16
	// burstSeconds lets a lecture hall behind one address vote at once.
	burstSeconds = 5
)

// Limiter allows each network (an IPv4 address, an IPv6 /64) a number of
// requests a second, and bursts of five times as many. It forgets the networks
// that it has not seen for longest.
type Limiter struct {
	perSecond rate.Limit
	proxies   []netip.Prefix
	mu        sync.Mutex
	networks  *lru.Cache[netip.Prefix, *rate.Limiter]
}

// NewLimiter returns a Limiter, or nil, which allows everything, when perSecond
// is not above zero. X-Forwarded-For is believed from proxies only.
func NewLimiter(perSecond float64, proxies []netip.Prefix) *Limiter {
	if perSecond <= 0 {
		return nil
	}
	networks, err := lru.New[netip.Prefix, *rate.Limiter](limitedNetworks)
	if err != nil {
		panic(err) // only a size below one fails
	}
	return &Limiter{perSecond: rate.Limit(perSecond), proxies: proxies, networks: networks}
}

// Check returns the problem 429 when the network of r has used up its share.
func (l *Limiter) Check(r *http.Request) error {
	if l == nil {
		return nil
	}
	network := networkOf(clientOf(r, l.proxies))
	l.mu.Lock()
	limiter, ok := l.networks.Get(network)
	if !ok {
		limiter = rate.NewLimiter(l.perSecond, max(1, int(l.perSecond*burstSeconds)))
		l.networks.Add(network, limiter)
	}
	l.mu.Unlock()
	if limiter.Allow() {
		return nil
	}
	p := NewProblem(http.StatusTooManyRequests, "Too many votes come from your network at once. Please try again in a moment.")
	p.RetryAfter = retrySoon
	return p
}

// clientOf returns the address that a request comes from: the last one that no
// believed proxy has added.
func clientOf(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && voter.Contains(proxies, client); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = hop.Unmap()
	}
	return client
}

func networkOf(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	// The only error is an invalid address, and that one shares the zero prefix.
	network, _ := addr.WithZone("").Prefix(bits)
	return network
}
