package audit

import (
	"strconv"

	"github.com/tenonhq/tenon/schema"
)

// Finding is one thing that is wrong with a log, and where.
type Finding struct {
	// Chain is empty where the checkpoints themselves are wrong.
	Chain string `json:"chain,omitempty"`
	// Seq is the first entry that does not fit; of the checkpoints, the number
	// of the first that does not.
	Seq int64 `json:"sequence"`
	// ID of the entry, where there is one.
	ID   string `json:"id,omitempty"`
	What string `json:"what"`
}

// Err is the finding as an error.
func (f Finding) Err() error {
	return schema.Errorf(schema.CodeInternal, "%s", f.String())
}

// String is a line for people.
func (f Finding) String() string {
	where := "checkpoint " + strconv.FormatInt(f.Seq, 10)
	if f.Chain != "" {
		where = "audit chain " + strconv.Quote(f.Chain) + " is broken at entry " + strconv.FormatInt(f.Seq, 10)
	}
	if f.ID != "" {
		where += " (" + f.ID + ")"
	}
	return where + ": " + f.What
}

// maxFindings bounds what a verification remembers: one entry that was moved
// makes every one after it wrong.
const maxFindings = 100

// findings collects, up to a bound.
type findings []Finding

func (f *findings) add(found Finding) {
	if len(*f) < maxFindings {
		*f = append(*f, found)
	}
}
