package ledger

import (
	"fmt"
	"strings"
)

// Supplier is someone who sends bills.
type Supplier struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Currency string `json:"currency"`
}

// Suppliers are the suppliers that every bookkeeper knows.
func Suppliers() []Supplier {
	return []Supplier{
		{ID: "sup-100", Name: "Nordholz Timber", Currency: "EUR"},
		{ID: "sup-200", Name: "Alder & Sons Fittings", Currency: "GBP"},
		{ID: "sup-300", Name: "Kiefer Glues", Currency: "EUR"},
	}
}

// Line is one position of a bill. Money is in cents: whole numbers add up.
type Line struct {
	SKU            string `json:"sku"`
	Description    string `json:"description"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unit_price_cents"`
}

// Draft is what a caller posts to create a bill.
type Draft struct {
	Order      string `json:"order"`
	Supplier   string `json:"supplier"`
	Buyer      string `json:"buyer,omitempty"`
	Email      string `json:"email,omitempty"`
	Currency   string `json:"currency"`
	OrderedOn  string `json:"ordered_on,omitempty"`
	DueOn      string `json:"due_on,omitempty"`
	CostCenter string `json:"cost_center,omitempty"`
	Address    string `json:"address,omitempty"`
	Note       string `json:"note,omitempty"`
	Lines      []Line `json:"lines"`
}

// Bill is a draft that was recorded.
type Bill struct {
	Number     string `json:"number"`
	TotalCents int64  `json:"total_cents"`
	Draft
}

// check says what is wrong with a draft and where, as a JSON Pointer; both are
// empty when nothing is.
func (d Draft) check() (pointer, detail string) {
	if strings.TrimSpace(d.Order) == "" {
		return "/order", "an order number is required"
	}
	var supplier *Supplier
	for _, s := range Suppliers() {
		if s.ID == d.Supplier {
			supplier = &s
		}
	}
	if supplier == nil {
		return "/supplier", "no such supplier"
	}
	if len(d.Currency) != 3 {
		return "/currency", "a three-letter currency is required"
	}
	if len(d.Lines) == 0 {
		return "/lines", "at least one line is required"
	}
	for i, line := range d.Lines {
		if line.Quantity <= 0 || line.Quantity > 1_000_000 {
			return fmt.Sprintf("/lines/%d/quantity", i), "must be between 1 and 1000000"
		}
		if line.UnitPriceCents < 0 || line.UnitPriceCents > 1_000_000_000 {
			return fmt.Sprintf("/lines/%d/unit_price_cents", i), "must be between 0 and 1000000000"
		}
	}
	return "", ""
}

func (d Draft) total() int64 {
	var sum int64
	for _, line := range d.Lines {
		sum += line.Quantity * line.UnitPriceCents
	}
	return sum
}
