package flow

import "strings"

var escapeToken = strings.NewReplacer("~", "~0", "/", "~1")

// Pointer appends reference tokens to a JSON Pointer (RFC 6901), escaping them.
func Pointer(base string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, t := range tokens {
		b.WriteByte('/')
		_, _ = escapeToken.WriteString(&b, t) // a Builder never fails
	}
	return b.String()
}

// Task finds a task by its pointer, such as "/do/0/getPet", in constant time.
func (d *Document) Task(pointer string) (*Task, bool) {
	t, ok := d.tasks[pointer]
	return t, ok
}

// index records every task of the finished document by its pointer.
func (d *Document) index(tasks []Task) {
	for i := range tasks {
		t := &tasks[i]
		d.tasks[t.Pointer] = t
		d.index(t.Do)
		if t.For != nil {
			d.index(t.For.Do)
		}
		if t.Try != nil {
			d.index(t.Try.Do)
			d.index(t.Try.Catch.Do)
		}
	}
}
