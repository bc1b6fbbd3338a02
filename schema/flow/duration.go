package flow

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"time"

	"github.com/tenonhq/tenon/schema"
)

const day = 24 * time.Hour

// units of a duration object.
var units = map[string]time.Duration{
	"days": day, "hours": time.Hour, "minutes": time.Minute, "seconds": time.Second, "milliseconds": time.Millisecond,
}

var (
	iso8601 = regexp.MustCompile(
		`^P(?:([0-9.]+)Y)?(?:([0-9.]+)M)?(?:([0-9.]+)W)?(?:([0-9.]+)D)?(T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?$`)
	decimal  = regexp.MustCompile(`^[0-9]{1,18}(?:\.[0-9]{1,18})?$`)
	isoUnits = map[int]time.Duration{
		1: 365 * day, 2: 30 * day, 3: 7 * day, 4: day, 6: time.Hour, 7: time.Minute, 8: time.Second,
	}
)

// ParseDuration reads a duration: an ISO 8601 string ("PT30S") or an object of
// days, hours, minutes, seconds and milliseconds. A year counts as 365 days
// and a month as 30. The answer is never negative; what exceeds 292 years is refused.
func ParseDuration(value json.RawMessage) (time.Duration, error) {
	var text string
	if json.Unmarshal(value, &text) == nil && len(value) > 0 && value[0] == '"' {
		return parseISO8601(text)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(value, &parts); err != nil || len(parts) == 0 {
		return 0, badDuration("an ISO 8601 duration or an object of days, hours, minutes, seconds and milliseconds is wanted")
	}
	total := new(big.Rat)
	for name, n := range parts {
		unit, ok := units[name]
		if !ok {
			return 0, badDuration("unknown unit %q in a duration", clip(name))
		}
		if !decimal.Match(n) {
			return 0, badDuration("%s must be a whole number that is not negative", name)
		}
		r, _ := new(big.Rat).SetString(string(n))
		if !r.IsInt() {
			return 0, badDuration("%s must be a whole number that is not negative", name)
		}
		total.Add(total, r.Mul(r, new(big.Rat).SetInt64(int64(unit))))
	}
	return toDuration(total)
}

func parseISO8601(text string) (time.Duration, error) {
	m := iso8601.FindStringSubmatch(text)
	if m == nil || len(text) > 128 || m[5] == "T" {
		return 0, badDuration("not an ISO 8601 duration such as PT30S or P1DT12H")
	}
	total, some := new(big.Rat), false
	for group, unit := range isoUnits {
		if m[group] == "" {
			continue
		}
		if !decimal.MatchString(m[group]) {
			return 0, badDuration("not an ISO 8601 duration such as PT30S or P1DT12H")
		}
		some = true
		r, _ := new(big.Rat).SetString(m[group])
		total.Add(total, r.Mul(r, new(big.Rat).SetInt64(int64(unit))))
	}
	if !some {
		return 0, badDuration("not an ISO 8601 duration such as PT30S or P1DT12H")
	}
	return toDuration(total)
}

func toDuration(r *big.Rat) (time.Duration, error) {
	whole := new(big.Int).Quo(r.Num(), r.Denom())
	if whole.Cmp(big.NewInt(math.MaxInt64)) > 0 {
		return 0, badDuration("longer than 292 years")
	}
	return time.Duration(whole.Int64()), nil
}

func badDuration(format string, args ...any) *schema.Error {
	return schema.Errorf(schema.CodeInvalid, "not a duration: %s", fmt.Sprintf(format, args...)).
		Advise(`Write PT30S, or {"seconds": 30}.`)
}
