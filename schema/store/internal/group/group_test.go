package group_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/internal/group"
)

// list is a database of numbers.
type list struct {
	committed []int
	began     chan struct{} // when set, Begin says so here, and waits for
	proceed   chan struct{} // this
	refuse    error
}

type change struct{ add []int }

func (l *list) Begin(bool) (*change, error) {
	if l.began != nil {
		l.began <- struct{}{}
		<-l.proceed
	}
	return &change{}, nil
}

func (l *list) Commit(c *change) error {
	if l.refuse != nil {
		return l.refuse
	}
	l.committed = append(l.committed, c.add...)
	return nil
}

func (*list) Rollback(*change) {}
func (*list) Idle()            {}

func add(n int) func(*change) error {
	return func(c *change) error { c.add = append(c.add, n); return nil }
}

var (
	errRefused = errors.New("refused")
	errBroken  = errors.New("broken")
)

// held is a committer whose first transaction waits, with n units behind it.
func held(t *testing.T, units ...func(*group.Committer[*change]) error) (*list, []error, int64) {
	t.Helper()
	l := &list{began: make(chan struct{}), proceed: make(chan struct{})}
	c := group.New(l)
	errs := make([]error, len(units))
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, c.Do(context.Background(), add(0))) })
	<-l.began
	entered := make(chan struct{})
	for i, u := range units {
		wg.Go(func() { entered <- struct{}{}; errs[i] = u(c) })
		<-entered
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case l.proceed <- struct{}{}:
		case <-l.began:
		case <-done:
			return l, errs, c.Commits()
		}
	}
}

func do(run func(*change) error) func(*group.Committer[*change]) error {
	return func(c *group.Committer[*change]) error { return c.Do(context.Background(), run) }
}

func TestEachUnitAnswersForItself(t *testing.T) {
	l, errs, _ := held(t,
		do(add(1)),
		do(func(*change) error { return group.Refuse(errRefused) }),
		do(add(2)),
		do(func(c *change) error { c.add = append(c.add, 99); return errBroken }),
		do(add(3)),
	)
	require.Equal(t, []error{nil, errRefused, nil, errBroken, nil}, errs)
	slices.Sort(l.committed)
	require.Equal(t, []int{0, 1, 2, 3}, l.committed, "what failed left nothing behind, and all else is there once")
}

func TestKindIsDoneTogether(t *testing.T) {
	kind := group.NewKind(func(c *change, items []int) []error {
		errs := make([]error, len(items))
		for i, n := range items {
			switch {
			case n < 0:
				errs[i] = group.Refuse(errRefused)
			case n == 13:
				errs[i] = errBroken
			default:
				c.add = append(c.add, n)
			}
		}
		return errs
	})
	unit := func(n int) func(*group.Committer[*change]) error {
		return func(c *group.Committer[*change]) error { return group.Together(context.Background(), c, kind, n) }
	}
	l, errs, _ := held(t, unit(1), unit(-1), do(add(2)), unit(13), unit(3))
	require.Equal(t, []error{nil, errRefused, nil, errBroken, nil}, errs)
	slices.Sort(l.committed)
	require.Equal(t, []int{0, 1, 2, 3}, l.committed)
}

func TestFailedCommitFailsAll(t *testing.T) {
	c := group.New(&list{refuse: errBroken})
	require.ErrorIs(t, c.Do(t.Context(), add(1)), errBroken)
}

func TestEndedRequestIsNotWritten(t *testing.T) {
	l := &list{began: make(chan struct{}), proceed: make(chan struct{})}
	c := group.New(l)
	first := make(chan error, 1)
	go func() { first <- c.Do(context.Background(), add(1)) }()
	<-l.began
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- c.Do(ctx, add(2)) }()
	cancel()
	require.Equal(t, schema.CodeTimeout, schema.CodeOf(<-second))
	l.proceed <- struct{}{}
	require.NoError(t, <-first)
	c.Close()
	require.Equal(t, []int{1}, l.committed)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(c.Do(t.Context(), add(3))))
}
