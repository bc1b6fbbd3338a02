package pack

import "testing"

const record = `{"result":{"output":"/do/1/mapOrder","context":"/do/0/findSupplier^c"},"values":{"/do/1/mapOrder":{"address":"1 Beam Street, Oxford","buyer":"Ada Byron","cost_center":"shop-web","currency":"EUR","email":"ada@example.com","lines":[{"description":"Oak board 40 mm","quantity":4,"sku":"OAK-40","unit_price_cents":3250},{"description":"Dowel 8 mm","quantity":100,"sku":"DOWEL-8","unit_price_cents":12}],"note":"Order pg-1234","ordered_on":"2026-11-22","supplier":"sup-100"}}}`

// BenchmarkPack packs and unpacks one step's record.
func BenchmarkPack(b *testing.B) {
	packed := Pack([]byte(record))
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			Pack([]byte(record))
		}
		b.ReportMetric(float64(len(packed)), "packed-B")
		b.ReportMetric(float64(len(record)), "plain-B")
	})
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			Quick([]byte(record))
		}
		b.ReportMetric(float64(len(Quick([]byte(record)))), "packed-B")
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			if _, err := Unpack(packed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
