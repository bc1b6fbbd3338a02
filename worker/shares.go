package worker

import "slices"

// shares divides what a cell works on at a time between its flows. It knows the
// runs that are open, and the flows that have runs without a carrier.
//
// A flow may have as many runs as there is room left for all others: alone it
// gets half of the cell, and however many flows flood or hang, there is room
// for another one. What is beyond waits in the database, in its order.
type shares struct {
	capacity int
	// open are the runs that are being worked on, with their flow; one that waits
	// for a time is none of them. count is their number by flow.
	open  map[string]string
	count map[string]int
	// lines are the flows that have runs without a carrier: true when it is worth
	// looking whether one of them may go.
	lines map[string]bool
}

func newShares(capacity int) *shares {
	return &shares{capacity: capacity, open: make(map[string]string), count: make(map[string]int), lines: make(map[string]bool)}
}

func (s *shares) add(run, flow string) {
	if _, ok := s.open[run]; !ok {
		s.open[run] = flow
		s.count[flow]++
	}
}

func (s *shares) drop(run string) {
	flow, ok := s.open[run]
	if !ok {
		return
	}
	delete(s.open, run)
	if s.count[flow]--; s.count[flow] == 0 {
		delete(s.count, flow)
	}
}

// room is how many more runs of the flow may be worked on.
func (s *shares) room(flow string) int {
	return max(0, (s.capacity-len(s.open)-s.count[flow]+1)/2)
}

// stir has every line looked at again, and tells whether there is one.
func (s *shares) stir() bool {
	for flow := range s.lines {
		s.lines[flow] = true
	}
	return len(s.lines) > 0
}

// next are the flows whose lines are worth a look, who has least first.
func (s *shares) next() []string {
	var flows []string
	for flow, look := range s.lines {
		if look && s.room(flow) > 0 {
			flows = append(flows, flow)
		}
	}
	slices.SortFunc(flows, func(a, b string) int { return s.count[a] - s.count[b] })
	return flows
}
