package verify

import "github.com/tenonhq/tenon/schema/config"

// scheme is how the senders of one kind prove themselves.
type scheme struct {
	// prove checks the request against the secrets.
	prove func(source config.Source, secrets []string, r Request) (proof, error)
	// check says whether a source of the scheme is complete; its secrets have
	// been counted and each passed secret.
	check  func(source config.Source) error
	secret func(value string) error
	// certificates: the scheme takes none of our secrets.
	certificates bool
	// unsigned: what is sent is not bound to the proof, which may be sent again
	// by whoever has it; so each delivery may be taken for a message of its own.
	unsigned bool
	// own is a JSON Pointer to the vendor's id of the event in the body.
	own string
	// topic is the header with the vendor's kind of event, which it does not sign.
	topic string
	// asked answers a handshake that comes unsigned, before anything else.
	asked func(source config.Source, r Request) (answer *Answer, asked bool, err error)
	// answer answers a handshake in a body that was verified.
	answer func(body []byte) *Answer
}

// schemes are all there are. A verifier that is not here refuses everything.
var schemes = map[string]scheme{
	config.VerifierStandardWebhooks: {prove: standard("webhook-"), secret: checkStandard},
	config.VerifierSvix:             {prove: standard("svix-"), secret: checkStandard},
	config.VerifierStripe: {
		prove: signed(config.Signature{
			Hash: "sha256", Encoding: encodingHex, SignatureHeader: "Stripe-Signature",
			Fields: &config.SignatureFields{Separator: ",", Signature: "v1", Timestamp: "t"}, Signed: "{timestamp}.{body}",
		}),
		secret: long, own: "/id",
	},
	config.VerifierGitHub: {
		prove: signed(config.Signature{
			Hash: "sha256", Encoding: encodingHex, SignatureHeader: "X-Hub-Signature-256", Prefix: "sha256=", Signed: "{body}",
		}),
		secret: long, topic: "X-GitHub-Event",
	},
	config.VerifierShopify: {
		prove:  signed(config.Signature{Hash: "sha256", Encoding: encodingBase64, SignatureHeader: "X-Shopify-Hmac-Sha256", Signed: "{body}"}),
		secret: long, topic: "X-Shopify-Topic",
	},
	config.VerifierSlack: {
		prove: signed(config.Signature{
			Hash: "sha256", Encoding: encodingHex, SignatureHeader: "X-Slack-Signature", Prefix: "v0=",
			TimestampHeader: "X-Slack-Request-Timestamp", Signed: "v0:{timestamp}:{body}",
		}),
		secret: long, own: "/event_id", answer: slackChallenge,
	},
	config.VerifierTwilio: {prove: twilio, check: checkTwilio, secret: long},
	config.VerifierMeta: {
		prove: signed(config.Signature{
			Hash: "sha256", Encoding: encodingHex, SignatureHeader: "X-Hub-Signature-256", Prefix: "sha256=", Signed: "{body}",
		}),
		check: checkMeta, secret: long, asked: metaChallenge,
	},
	config.VerifierMicrosoft: {prove: clientState, secret: long, unsigned: true, asked: microsoftValidation},
	config.VerifierHMAC:      {prove: described, check: checkHMAC, secret: long},
	config.VerifierMTLS:      {prove: certificate, check: checkMTLS, certificates: true, unsigned: true},
	config.VerifierBearer:    {prove: bearer, secret: checkBearer, unsigned: true},
	config.VerifierBasic:     {prove: basic, secret: checkBasic, unsigned: true},
}
