package store

// Limits of a page.
const (
	DefaultPage = 50
	MaxPage     = 200
)

// Page asks for a part of a list, newest first.
type Page struct {
	// After is the id of the last row of the page before; empty for the first.
	After string
	// Limit is 50 when zero and never more than 200.
	Limit int
}

// RunFilter asks for runs; empty fields match all.
type RunFilter struct {
	Namespace string
	Flow      string
	State     string
	Page
}

func limit(n int) int {
	if n <= 0 {
		return DefaultPage
	}
	return min(n, MaxPage)
}
