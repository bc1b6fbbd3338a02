package sdk

// MaxMessage bounds a message of the protocol, either way: what an action gets,
// gives, sends and receives in one piece.
const MaxMessage = 8 << 20
