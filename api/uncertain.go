package api

import (
	"slices"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// settles refuses a policy for uncertain effects that contradicts what else the
// connection says of its system, or that nothing could come of.
func (k *known) settles(setup config.Connection) error {
	u := setup.Uncertain
	switch {
	case u == nil:
		return nil
	case len(u.Output) > 0 && u.Outcome != config.UncertainDone:
		return schema.Errorf(schema.CodeInvalid, "output goes with the outcome done only").At("/output")
	case u.Outcome == config.UncertainAsk:
		return nil
	case !slices.ContainsFunc(k.manifest.Actions, func(a sdk.ActionInfo) bool { return a.Effect == sdk.EffectWrite }):
		return schema.Errorf(schema.CodeInvalid, "the connector changes nothing in the other system, so there is nothing to be uncertain about").At("/outcome").
			Advise("Leave the policy out.")
	case u.Outcome == config.UncertainRepeat && setup.IdempotencyHeader != "":
		return schema.Errorf(schema.CodeInvalid, "a system that honours idempotency keys is sent the same key again; the policy repeat is for one that does not").At("/outcome").
			Advise("Leave the policy out, or take idempotency_header away (set it to the empty string).")
	case u.Outcome == config.UncertainRepeat && setup.Lookup != nil:
		return schema.Errorf(schema.CodeInvalid, "the lookup finds out whether an effect happened, and the policy repeat would not ask it").At("/outcome").
			Advise("Use the lookup with ask, done or failed, which hold where it finds out nothing; or a connection without a lookup.")
	}
	return nil
}
