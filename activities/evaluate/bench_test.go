package evaluate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/evaluate"
)

const order = `{"id":"SO-10023","created":"2026-03-14T09:26:53Z","currency":"EUR","customer":{"name":"Ada & Sons","vat":"DE123456789",
"address":{"street":"Hauptstr. 1","zip":"10115","city":"Berlin","country":"DE"}},"note":"leave at the door","channel":"shop",
"lines":[{"sku":"A-1","title":"Chisel","quantity":2,"price":19.9},{"sku":"B-7","title":"Mallet","quantity":1,"price":34.5},
{"sku":"C-3","title":"Glue","quantity":6,"price":4.25}]}`

const mapping = `{"number":"${ .id }","date":"${ .created[:10] }","currency":"${ .currency }","supplier":"${ .customer.name | ascii_downcase }",
"vat":"${ .customer.vat }","country":"${ .customer.address.country }","reference":"${ \"\\(.channel)/\\(.id)\" }","memo":"${ .note // \"\" }",
"total":"${ [.lines[] | .quantity * .price] | add }","source":"tenon",
"lines":"${ [.lines[] | {item: .sku, text: .title, quantity, amount: (.quantity * .price)}] }"}`

func typical() evaluate.Batch {
	return evaluate.Batch{
		Values: map[string]json.RawMessage{"raw": json.RawMessage(order), "context": json.RawMessage("{}")},
		Evals: []evaluate.Eval{
			{To: "if", On: "raw", Template: expression(`.lines | length > 0`), Halt: true},
			{To: "out", On: "raw", Template: json.RawMessage(mapping), Vars: map[string]string{"$context": "context"}},
		},
	}
}

// BenchmarkMapping tells batches per second, and the processor time that one
// costs in both processes together.
func BenchmarkMapping(b *testing.B) {
	p, f := newPool(b, 1, time.Second)
	batch := typical()
	_, err := p.Eval(b.Context(), batch)
	require.NoError(b, err)
	before := processorTime(b, f)
	n := 0
	for b.Loop() {
		r, err := p.Eval(b.Context(), batch)
		if err != nil || r.Fault != nil {
			b.Fatal(err, r.Fault)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "batches/s")
	b.ReportMetric(float64((processorTime(b, f)-before).Microseconds())/float64(n), "cpu-us/batch")
}

// processorTime is what this process and the evaluators have used.
func processorTime(b *testing.B, f *fleet) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	total := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	for _, process := range f.processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.Pid))
		require.NoError(b, err)
		fields := strings.Fields(string(text))
		for _, ticks := range fields[13:15] { // utime and stime, in hundredths of a second
			n, err := strconv.Atoi(ticks)
			require.NoError(b, err)
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

func TestTypicalMapping(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, time.Second)
	var first []byte
	for range 20 {
		r, err := p.Eval(t.Context(), typical())
		require.NoError(t, err)
		require.Nil(t, r.Fault)
		require.JSONEq(t, `{"number":"SO-10023","date":"2026-03-14","currency":"EUR","supplier":"ada & sons","vat":"DE123456789",
			"country":"DE","reference":"shop/SO-10023","memo":"leave at the door","total":99.8,"source":"tenon",
			"lines":[{"item":"A-1","text":"Chisel","quantity":2,"amount":39.8},{"item":"B-7","text":"Mallet","quantity":1,"amount":34.5},
			{"item":"C-3","text":"Glue","quantity":6,"amount":25.5}]}`, string(r.Values["out"]))
		if first == nil {
			first = r.Values["out"]
		}
		require.True(t, bytes.Equal(first, r.Values["out"]), "the bytes differ")
	}
}

// TestIdleMemory: an evaluator that has worked holds less than 12 MiB (design.md, cell_idle_mib).
func TestIdleMemory(t *testing.T) {
	t.Parallel()
	p, f := newPool(t, 1, time.Second)
	for range 2000 {
		_, err := p.Eval(t.Context(), typical())
		require.NoError(t, err)
	}
	for _, process := range f.processes() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Pid))
		require.NoError(t, err)
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, err := strconv.Atoi(strings.Fields(rest)[0])
				require.NoError(t, err)
				t.Logf("resident: %d KiB", kib)
				require.Less(t, kib, 12<<10)
			}
		}
	}
}
