package store

// SealedColumns are the sealed columns of a side, by table and column.
func SealedColumns(chain string) map[string]bool {
	out := make(map[string]bool)
	for _, c := range sealedOf(chain) {
		out[c.table+"."+c.column] = true
	}
	return out
}
