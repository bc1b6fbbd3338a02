package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// signSigV4 signs the request as it will be sent, with AWS's own signer.
func (d *draft) signSigV4(injection seal.Injection, values map[string]schema.Secret, now time.Time) ([]secret, error) {
	if injection.SigV4 == nil {
		return nil, schema.Errorf(schema.CodeRefused, "the credential does not say what service and region it is for")
	}
	id, err := need(values, "access_key_id")
	if err != nil {
		return nil, err
	}
	key, err := need(values, "secret_access_key")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		// Put refuses one that the connector has set.
		if err := d.put(name, ""); err != nil {
			return nil, err
		}
		d.header.Del(name)
	}
	if _, err := url.ParseQuery(d.query); err != nil {
		return nil, schema.Errorf(schema.CodeRefused, "the request's query cannot be signed: it cannot be read").At("/url")
	}
	sum := sha256.Sum256(d.body)
	digest := hex.EncodeToString(sum[:])
	// S3 has its paths escaped once, and the digest in a header.
	plain := injection.SigV4.Service == "s3"
	if plain {
		d.header.Set("X-Amz-Content-Sha256", digest)
	}
	request := d.request(context.Background())
	// Not signed: what stands between here and there may change it.
	accept := d.header["Accept-Encoding"]
	d.header.Del("Accept-Encoding")
	// A signer of its own for each request: it remembers keys that it derives.
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{
		AccessKeyID: id, SecretAccessKey: key, SessionToken: string(values["session_token"].Reveal()),
	}, request, digest, injection.SigV4.Service, injection.SigV4.Region, now.UTC(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = plain
	})
	if err != nil {
		// Not wrapped: it is another's error about secrets. Nothing is sent.
		return nil, schema.Errorf(schema.CodeRefused, "the request could not be signed")
	}
	if len(accept) > 0 {
		d.header["Accept-Encoding"] = accept
	}
	// The signer brings the query into the order and spelling that it signs.
	d.query = request.URL.RawQuery
	_, signature, _ := strings.Cut(request.Header.Get("Authorization"), "Signature=")
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) == 0 {
		return nil, schema.Errorf(schema.CodeRefused, "the request could not be signed")
	}
	return []secret{{text: signature}, {text: string(raw), whole: true}}, nil
}
