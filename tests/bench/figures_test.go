package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// figure is one line of the result. Against is what it was compared with in
// the same run, and Ratio the quotient; both are absent where the goal is a
// plain number.
type figure struct {
	Name    string   `json:"name"`
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	Goal    string   `json:"goal"`
	Against *float64 `json:"against,omitempty"`
	Ratio   *float64 `json:"ratio,omitempty"`
}

// report gathers the figures; what was not measured is not in it.
type report struct {
	figures []figure
	// shares says where the processor time of a flow went.
	shares []share
}

type share struct {
	name  string
	of    usage
	flows int
}

func (r *report) plain(name string, value float64, unit, goal string) {
	r.figures = append(r.figures, figure{Name: name, Value: rounded(value), Unit: unit, Goal: goal})
}

func (r *report) against(name string, value float64, unit, goal string, other float64) {
	value, other = rounded(value), rounded(other)
	f := figure{Name: name, Value: value, Unit: unit, Goal: goal}
	if other != 0 { // it was measured
		ratio := rounded(value / other)
		f.Against, f.Ratio = &other, &ratio
	}
	r.figures = append(r.figures, f)
}

// rounded keeps three significant digits or so: more would be noise.
func rounded(v float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return out
}

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nfigure\tvalue\tunit\tgoal\tagainst\tratio")
	for _, f := range r.figures {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, number(&f.Value), f.Unit, f.Goal, number(f.Against), number(f.Ratio))
	}
	_ = t.Flush()
	for _, s := range r.shares {
		_, _ = fmt.Fprintf(t, "\nprocessor time of %s\tms a flow\n", s.name)
		names := make([]string, 0, len(s.of))
		for name := range s.of {
			names = append(names, name)
		}
		slices.SortFunc(names, func(x, y string) int { return int(s.of[y] - s.of[x]) })
		for _, name := range names {
			_, _ = fmt.Fprintf(t, "  %s\t%.2f\n", name, milliseconds(s.of[name])/float64(s.flows))
		}
		_ = t.Flush()
	}
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

func (r *report) write(b *testing.B, path string) {
	b.Helper()
	text, err := json.MarshalIndent(r.figures, "", "  ")
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(path, append(text, '\n'), 0o600))
}

// merge puts the figures in the place of those of their names in the file, and
// leaves the others as they are.
func (r *report) merge(b *testing.B, path string) {
	b.Helper()
	var kept []figure
	text, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(b, err)
		require.NoError(b, json.Unmarshal(text, &kept))
	}
	all := report{figures: slices.DeleteFunc(kept, func(f figure) bool {
		return slices.ContainsFunc(r.figures, func(g figure) bool { return g.Name == f.Name })
	})}
	all.figures = append(all.figures, r.figures...)
	all.write(b, path)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// median sorts the durations.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
