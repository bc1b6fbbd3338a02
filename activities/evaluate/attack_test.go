package evaluate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/schema"
)

func expression(src string) json.RawMessage {
	text, err := json.Marshal("${ " + src + " }")
	if err != nil {
		panic(err)
	}
	return text
}

func one(src, on string) evaluate.Batch {
	return evaluate.Batch{
		Values: map[string]json.RawMessage{"in": json.RawMessage(on)},
		Evals:  []evaluate.Eval{{To: "out", On: "in", Template: expression(src)}},
	}
}

// bound is far above the processor time of a batch: the machine may be busy.
const bound = time.Minute

func requireHealthy(t *testing.T, p *evaluate.Pool) {
	t.Helper()
	r, err := p.Eval(t.Context(), one(".a + 1", `{"a":41}`))
	require.NoError(t, err)
	require.Nil(t, r.Fault)
	require.Equal(t, "42", string(r.Values["out"]))
}

// TestInvariant9HostileExpressions: each attack fails its own batch in bounded
// time, and the next batch, of another run, succeeds.
func TestInvariant9HostileExpressions(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, bound)
	attacks := map[string]string{
		"tail recursion":              `def f: f; f`,
		"recursion that grows":        `def f: 1 + f; f`,
		"endless values":              `[repeat(1)]`,
		"endless range":               `[range(infinite)]`,
		"a gigabyte in one step":      `"x" * 1e9`,
		"doubling text":               `reduce range(60) as $i ("x"; . + .)`,
		"doubling lists":              `reduce range(60) as $i ([1]; . + .)`,
		"doubling by sharing":         `reduce range(60) as $i ([1]; [., .])`,
		"doubling by sharing objects": `reduce range(60) as $i (1; {a: ., b: .})`,
		"tojson of shared parts":      `reduce range(40) as $i ([1]; [., .]) | tojson | length`,
		"nesting without end":         `reduce range(1e9) as $i (null; [.])`,
		"deep nesting":                `reduce range(100000) as $i (null; [.])`,
		"huge output":                 `[range(1e7)]`,
		"huge number":                 `reduce range(1e6) as $i (10; . * .)`,
		"huge index":                  `null | .[1e9] = 1`,
		"huge range by path":          `[limit(1e9; repeat("x"))] | length`,
		"combinations":                `[range(1e4)] | combinations(1e4)`,
		"every match of nothing":      `("a" * 2000000) | [match(""; "g")]`,
		"substitution growth":         `("a" * 1000000) | gsub("a"; "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")`,
		"permanent label":             `label $x | def f: f; f, break $x`,
		"try around a bomb":           `try (reduce range(60) as $i ("x"; . + .)) catch "caught"`,
	}
	for name, src := range attacks {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r, err := p.Eval(t.Context(), one(src, "null"))
			require.NoError(t, err)
			require.NotNil(t, r.Fault, "it succeeded with %.100s", r.Values["out"])
			require.Less(t, time.Since(start), bound)
			t.Logf("%v: %s: %.120s", time.Since(start).Round(time.Millisecond), r.Fault.Type, r.Fault.Detail)
			requireHealthy(t, p)
		})
	}
}

func TestInvariant9HostileText(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, bound)
	for name, src := range map[string]string{
		"brackets":       strings.Repeat("(", 100_000),
		"pipes":          strings.Repeat(".|", 100_000) + ".",
		"definitions":    strings.Repeat("def f: ", 50_000),
		"interpolations": strings.Repeat(`"\(`, 50_000),
		"operators":      strings.Repeat("1+", 500_000) + "x",
		"alternatives":   strings.Repeat(".a?//", 50_000) + "x",
		"updates":        strings.Repeat(".a|=", 50_000) + "x",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r, err := p.Eval(t.Context(), one(src, `{}`))
			require.NoError(t, err)
			require.Less(t, time.Since(start), bound)
			if r.Fault != nil {
				require.Less(t, len(r.Fault.Detail), 2000)
			}
			requireHealthy(t, p)
		})
	}
}

func TestInvariant9HostileSchemas(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, bound)
	long := `"` + strings.Repeat("a", 5000) + `!"`
	for name, c := range map[string][2]string{
		"catastrophic pattern":       {`{"pattern":"^(a+)+$"}`, long},
		"catastrophic look-ahead":    {`{"pattern":"^(?=(a|aa)+$)(a|aa)+$"}`, long},
		"a schema that is no schema": {`{"type":7}`, `1`},
		"a remote reference":         {`{"$ref":"https://example.com/schema.json"}`, `1`},
		"a file reference":           {`{"$ref":"file:///etc/passwd"}`, `1`},
		"a reference to itself":      {`{"$ref":"#"}`, `1`},
		"explosion of anyOf":         {explosive(22), `1`},
		"huge uniqueItems":           {`{"uniqueItems":true}`, "[" + strings.Repeat(`{"a":1,"b":[1,2,3]},`, 20_000) + `1]`},
		"huge multipleOf":            {`{"multipleOf":7e-999999}`, `1e999999`},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r, err := p.Eval(t.Context(), evaluate.Batch{
				Values: map[string]json.RawMessage{"in": json.RawMessage(c[1])},
				Evals:  []evaluate.Eval{{On: "in", Schema: json.RawMessage(c[0])}},
			})
			require.NoError(t, err)
			require.NotNil(t, r.Fault)
			require.Less(t, time.Since(start), bound)
			require.NotContains(t, r.Fault.Detail, "aaaaaaaa", "a value is quoted")
			t.Logf("%v: %s: %.120s", time.Since(start).Round(time.Millisecond), r.Fault.Type, r.Fault.Detail)
			requireHealthy(t, p)
		})
	}
}

// explosive is a schema of n definitions, each of which tries the next one twice.
func explosive(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range n {
		next := "#/$defs/d" + strconv.Itoa(i+1)
		b.WriteString(`"d` + strconv.Itoa(i) + `":{"anyOf":[{"$ref":"` + next + `"},{"$ref":"` + next + `"}]},`)
	}
	b.WriteString(`"d` + strconv.Itoa(n) + `":false}}`)
	return b.String()
}

func TestInvariant9HostileInput(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, bound)

	_, err := p.Eval(t.Context(), one(".", `"`+strings.Repeat("x", 33<<20)+`"`))
	require.Equal(t, schema.CodeTooLarge, schema.CodeOf(err))
	requireHealthy(t, p)

	r, err := p.Eval(t.Context(), one(".", `"`+strings.Repeat("x", 20<<20)+`"`))
	require.NoError(t, err)
	require.NotNil(t, r.Fault)
	requireHealthy(t, p)

	_, err = p.Eval(t.Context(), one(".", strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)))
	require.Equal(t, schema.CodeInternal, schema.CodeOf(err))
	require.NotContains(t, err.Error(), "[[[")
	requireHealthy(t, p)

	_, err = p.Eval(t.Context(), one(".", `{"secret-value":`))
	require.Equal(t, schema.CodeInternal, schema.CodeOf(err))
	require.NotContains(t, err.Error(), "secret-value")
	requireHealthy(t, p)
}

// TestKilledEvaluator: a process killed from outside while it works on an
// innocent batch costs nothing: evaluation has no effects and is done again.
func TestKilledEvaluator(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, 10*time.Second)
	requireHealthy(t, p)
	// About a tenth of a second of work: the kill meets it on its way, or before.
	busy := one(`[range(400000)] | length`, "null")
	for range 5 {
		victims := f.processes()
		require.Len(t, victims, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, v := range victims {
				_ = v.Kill()
			}
		})
		r, err := p.Eval(t.Context(), busy)
		wg.Wait()
		require.NoError(t, err)
		require.Nil(t, r.Fault)
		require.Equal(t, "400000", string(r.Values["out"]))
		requireHealthy(t, p)
	}
}

func TestIdleDeathIsNobodysFault(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, bound)
	requireHealthy(t, p)
	for _, v := range f.processes() {
		require.NoError(t, v.Kill())
	}
	requireHealthy(t, p)
	require.EqualValues(t, 2, f.starts.Load())
}

// TestBatchesOneAtATimeShareAProcess starts no second one for them.
func TestBatchesOneAtATimeShareAProcess(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 2, 10*time.Second)
	for range 3 {
		requireHealthy(t, p)
	}
	require.EqualValues(t, 1, f.starts.Load())
}

// TestAnIdlePoolHasNoProcess ends the process when no more batches come, and
// starts another when they do.
func TestAnIdlePoolHasNoProcess(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	p := evaluate.NewPool(evaluate.Config{Start: f.start, Size: 2, IdleAfter: 100 * time.Millisecond})
	t.Cleanup(p.Close)
	requireHealthy(t, p)
	require.Eventually(t, func() bool { return len(f.processes()) == 0 }, 10*time.Second, 10*time.Millisecond)
	before := f.starts.Load()
	requireHealthy(t, p)
	require.Equal(t, before+1, f.starts.Load())
}

func TestCanceledBatch(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, 10*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := p.Eval(ctx, one(`[range(1e6)] | sort_by(-.) | sort_by(.) | map([.]) | unique | group_by(.) | length`, "null"))
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
	requireHealthy(t, p)
}

// TestConcurrency mixes bombs and innocent batches over a pool: each innocent
// batch gets its own answer.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 3, bound)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				if i == 0 && j%10 == 0 {
					r, err := p.Eval(context.WithoutCancel(t.Context()), one(`"x" * 1e9`, "null"))
					if err != nil || r.Fault == nil {
						t.Errorf("bomb: %v %v", r, err)
					}
					continue
				}
				n := i*1000 + j
				r, err := p.Eval(context.WithoutCancel(t.Context()), one("{n: .}", strconv.Itoa(n)))
				if err != nil || r.Fault != nil || string(r.Values["out"]) != `{"n":`+strconv.Itoa(n)+`}` {
					t.Errorf("batch %d: %v %v", n, r, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 2, bound)
	requireHealthy(t, p)
	p.Close()
	p.Close()
	require.Empty(t, f.processes())
	_, err := p.Eval(t.Context(), one(".", "1"))
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
}

// TestTimeout: behind the evaluator's own limits stands the pool's, which here is
// shorter than any of them takes.
func TestTimeout(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, 5*time.Millisecond)
	r, err := p.Eval(t.Context(), one(`reduce range(1e9) as $i (0; . + 1)`, "null"))
	require.NoError(t, err)
	require.NotNil(t, r.Fault)
	require.Equal(t, "runtime", r.Fault.Type)
	require.Contains(t, r.Fault.Detail, "longer than 5ms")
	require.Empty(t, f.processes())
}

// TestAStoppedProcessIsNoFault: a batch that nothing was done of while time passed is
// done by another process.
func TestAStoppedProcessIsNoFault(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, time.Second)
	requireHealthy(t, p)
	for _, process := range f.processes() {
		require.NoError(t, process.Signal(syscall.SIGSTOP))
	}
	requireHealthy(t, p)
	require.EqualValues(t, 2, f.starts.Load())
}

func TestCloseMeetsBatch(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, bound)
	requireHealthy(t, p)
	done := make(chan error)
	go func() {
		_, err := p.Eval(context.WithoutCancel(t.Context()), one(`[range(1e6)] | sort_by(-.) | sort_by(.) | unique | length`, "null"))
		done <- err
	}()
	p.Close()
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(<-done))
	require.Empty(t, f.processes())
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	broken := true
	p := evaluate.NewPool(evaluate.Config{Start: func(ctx context.Context) (io.ReadWriteCloser, func(), error) {
		if broken {
			return nil, nil, errors.New("private cause")
		}
		return f.start(ctx)
	}})
	t.Cleanup(p.Close)
	for range 3 {
		_, err := p.Eval(t.Context(), one(".", "1"))
		require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err))
		require.NotContains(t, err.Error(), "private")
	}
	broken = false
	requireHealthy(t, p)
}

// TestRubbish: what does not speak the protocol is ended and replaced.
func TestRubbish(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	first := true
	p := evaluate.NewPool(evaluate.Config{Start: func(ctx context.Context) (io.ReadWriteCloser, func(), error) {
		if !first {
			return f.start(ctx)
		}
		first = false
		ours, theirs := net.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, theirs, 8)
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			_, _ = theirs.Write([]byte{0, 0, 0, 3, 200, 200, 200})
		}()
		return ours, func() { _ = theirs.Close() }, nil
	}})
	t.Cleanup(p.Close)
	_, err := p.Eval(t.Context(), one(".", "1"))
	require.Equal(t, schema.CodeInternal, schema.CodeOf(err))
	requireHealthy(t, p)
}
