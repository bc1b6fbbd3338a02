package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// The test binary is also the processes that the tests below start.
func TestMain(m *testing.M) {
	switch os.Getenv("STORE_TEST_ROLE") {
	case "api":
		fail(acceptForEver())
	case "cell":
		fail(workForEver())
	case "sweeper":
		fail(sweepForEver())
	case "remover":
		fail(removeForEver())
	default:
		os.Exit(m.Run())
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// acceptForEver accepts events from several goroutines and prints the key of
// each that was acknowledged.
func acceptForEver() error {
	ctx := context.Background()
	c, err := store.OpenCell(ctx, store.CellURLs{Door: os.Getenv("STORE_TEST_DOOR"), Work: os.Getenv("STORE_TEST_WORK")}, store.SideAPI)
	if err != nil {
		return err
	}
	failed := make(chan error)
	var out sync.Mutex
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprint(g, "/", i)
				e, _, err := c.Door().AcceptEvent(ctx, event("src_1", key), draft("event.accept", key))
				if err != nil {
					failed <- err
					return
				}
				out.Lock()
				fmt.Println(e.ID)
				out.Unlock()
			}
		}()
	}
	return <-failed
}

// workForEver starts a run for every event, and commits and ends each; it
// prints the number of each event whose run is done.
func workForEver() error {
	ctx := context.Background()
	c, err := store.OpenCell(ctx, store.CellURLs{Door: os.Getenv("STORE_TEST_DOOR"), Work: os.Getenv("STORE_TEST_WORK")}, store.SideCell)
	if err != nil {
		return err
	}
	for {
		cursor, err := c.Work().Cursor(ctx, store.CursorEvents)
		if err != nil {
			return err
		}
		events, err := c.Door().EventsAfter(ctx, cursor, 20)
		if err != nil {
			return err
		}
		for _, e := range events {
			r := pending(e.Seq)
			if err := c.Work().StartRuns(ctx, []store.Run{r}, e.Seq, []store.AuditDraft{draft("run.start", r.ID)}); err != nil {
				return err
			}
			err := c.Work().Commit(ctx, store.RunCommit{
				Run: r.ID, Carrier: "car_1", Epoch: 1, Steps: []store.Step{step(r.ID, "a")}, End: &store.RunEnd{State: store.RunCompleted, At: at},
			})
			if err != nil {
				return err
			}
			fmt.Println(e.Seq)
		}
	}
}

// child is one of the processes above.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func spawn(t *testing.T, role string, urls store.CellURLs) *child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self)
	cmd.Env = append(os.Environ(), "STORE_TEST_ROLE="+role, "STORE_TEST_DOOR="+urls.Door, "STORE_TEST_WORK="+urls.Work)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{cmd, bufio.NewScanner(out)}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return c
}

// read returns the next n lines.
func (c *child) read(t *testing.T, n int) []string {
	t.Helper()
	var lines []string
	for range n {
		require.True(t, c.lines.Scan(), "the process ended")
		lines = append(lines, c.lines.Text())
	}
	return lines
}

// kill ends the process as a crash does and returns what it still said.
func (c *child) kill(t *testing.T) []string {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGKILL))
	var lines []string
	for c.lines.Scan() {
		lines = append(lines, c.lines.Text())
	}
	_ = c.cmd.Wait()
	return lines
}

// Invariant 6: what was acknowledged before the process was killed is there.
func TestAcknowledgedEventsSurviveKill(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		acknowledged := map[string]bool{}
		for range 3 {
			c := spawn(t, "api", made.API)
			for _, key := range append(c.read(t, 60), c.kill(t)...) {
				acknowledged[key] = true
			}
		}
		d := storetest.Open(t, made.API, store.SideAPI).Door()
		kept := map[string]bool{}
		for cursor, done := int64(0), false; !done; {
			page, err := d.EventsAfter(t.Context(), cursor, 500)
			require.NoError(t, err)
			for _, e := range page {
				kept[e.ID], cursor = true, e.Seq
			}
			done = len(page) == 0
		}
		for id := range acknowledged {
			require.True(t, kept[id], "%s was acknowledged and is lost", id)
		}
		head, err := d.VerifyAudit(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, len(kept), head.Seq, "one act, one entry, in one transaction")
	})
}

// The two sides are two processes at work on the same databases, and a third
// reads both.
func TestSidesAreProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		api, cell := spawn(t, "api", made.API), spawn(t, "cell", made.Cell)
		api.read(t, 80)
		done := cell.read(t, 80)
		cell.kill(t)
		again := spawn(t, "cell", made.Cell)
		done = append(done, again.read(t, 20)...)
		api.kill(t)
		done = append(done, again.kill(t)...)

		c := storetest.Open(t, made.Cell, store.SideCell)
		seen := map[string]bool{}
		for _, line := range done {
			require.False(t, seen[line], "a run was done twice")
			seen[line] = true
			seq, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
			require.NoError(t, err)
			events, err := c.Door().EventsAfter(t.Context(), seq-1, 1)
			require.NoError(t, err)
			require.Equal(t, seq, events[0].Seq)
		}
		runs, err := c.Work().ListRuns(t.Context(), store.RunFilter{State: store.RunCompleted, Page: store.Page{Limit: 200}})
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(runs), min(len(seen), 200))
		_, err = c.Work().VerifyAudit(t.Context())
		require.NoError(t, err)
		_, err = c.Door().VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}
