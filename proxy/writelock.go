package proxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate holds writes back. Its zero value is open.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // guarded by mu: closed on release, nil while open
}

// maxGateWait bounds how long a write waits for a new leader to be ready.
const maxGateWait = 10 * time.Second

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxGateWait)
	defer cancel()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nameLocks has one lock per index name in use. Its zero value is ready.
type nameLocks struct {
	mu    sync.Mutex
	locks map[string]*nameLock
}

type nameLock struct {
	held  chan struct{} // one token: taken while locked
	users int           // guarded by nameLocks.mu
}

// lock takes the locks of all names, in one order for everybody, and returns what releases them.
func (l *nameLocks) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for i, name := range names {
		if err := l.lockOne(ctx, name); err != nil {
			l.unlock(names[:i])
			return nil, err
		}
	}
	return func() { l.unlock(names) }, nil
}

func (l *nameLocks) lockOne(ctx context.Context, name string) error {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[string]*nameLock{}
	}
	lock := l.locks[name]
	if lock == nil {
		lock = &nameLock{held: make(chan struct{}, 1)}
		l.locks[name] = lock
	}
	lock.users++
	l.mu.Unlock()
	select {
	case lock.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.leave(name)
		return ctx.Err()
	}
}

func (l *nameLocks) unlock(names []string) {
	for _, name := range names {
		l.mu.Lock()
		lock := l.locks[name]
		l.mu.Unlock()
		<-lock.held
		l.leave(name)
	}
}

func (l *nameLocks) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lock := l.locks[name]
	if lock.users--; lock.users == 0 {
		delete(l.locks, name)
	}
}
