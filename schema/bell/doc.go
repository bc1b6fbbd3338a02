// Package bell tells a host that a cell's door has something new. The bell
// carries an organization's id and nothing else, and may be lost: the rows are
// the truth, and the cells sweep.
//
// On one machine it is a Unix datagram socket; between machines a Redis channel.
//
// It may import the schema package only.
package bell
