package jq

// The bounds of a cache. Flow versions are few and change seldom, so a full
// cache is simply emptied.
const (
	cacheEntries = 1024
	cacheBytes   = 2 << 20
)

type cache[V any] struct {
	entries map[string]V
	bytes   int
}

func (c *cache[V]) get(key string) (V, bool) {
	v, ok := c.entries[key]
	return v, ok
}

func (c *cache[V]) put(key string, v V) {
	if c.entries == nil || len(c.entries) >= cacheEntries || c.bytes+len(key) > cacheBytes {
		c.entries, c.bytes = map[string]V{}, 0
	}
	c.entries[key] = v
	c.bytes += len(key)
}
