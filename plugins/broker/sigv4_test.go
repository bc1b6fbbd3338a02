package broker

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestSigV4Vectors are signatures that AWS published: of its test suite for
// Signature Version 4, its guide to IAM, and the manual of S3.
func TestSigV4Vectors(t *testing.T) {
	t.Parallel()
	const suite, host = "AKIDEXAMPLE", "https://example.amazonaws.com"
	const s3, bucket = "AKIAIOSFODNN7EXAMPLE", "https://examplebucket.s3.amazonaws.com"
	keys := map[string]string{suite: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", s3: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	times := map[string]time.Time{
		suite: time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC), s3: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC),
	}
	for name, v := range map[string]struct {
		id, service, method, url string
		header                   http.Header
		signed, signature        string
	}{
		"get-vanilla":                      {suite, "service", "GET", host + "/", nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":                     {suite, "service", "POST", host + "/", nil, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-vanilla-query":               {suite, "service", "POST", host + "/?Param1=value1", nil, "host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		"get-vanilla-query-order-key-case": {suite, "service", "GET", host + "/?Param2=value2&Param1=value1", nil, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-unreserved": {
			suite, "service", "GET", host + "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "host;x-amz-date",
			"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
		},
		"post-header-value-case": {
			suite, "service", "POST", host + "/",
			http.Header{"My-Header1": {"VALUE1"}},
			"host;my-header1;x-amz-date",
			"cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
		},
		"get-header-value-trim": {
			suite, "service", "GET", host + "/",
			http.Header{"My-Header1": {" value1"}, "My-Header2": {`"a   b   c"`}},
			"host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
		},
		"iam": {
			suite, "iam", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
			"content-type;host;x-amz-date",
			"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
		},
		"s3 get": {
			s3, "s3", "GET", bucket + "/test.txt",
			http.Header{"Range": {"bytes=0-9"}},
			"host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		"s3 lifecycle": {
			s3, "s3", "GET", bucket + "/?lifecycle", nil, "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		"s3 list": {
			s3, "s3", "GET", bucket + "/?prefix=J&max-keys=2", nil, "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		target, err := parseTarget(v.url)
		require.NoError(t, err, name)
		d := &draft{method: v.method, target: target, query: target.query, header: v.header.Clone()}
		if d.header == nil {
			d.header = http.Header{}
		}
		// Ours, which nothing of it depends on.
		d.header.Set("Accept-Encoding", "gzip")
		d.header.Set("User-Agent", "Tenon")
		secrets, err := d.signSigV4(seal.Injection{Scheme: seal.SchemeSigV4, SigV4: &seal.SigV4{Region: "us-east-1", Service: v.service}}, map[string]schema.Secret{
			"access_key_id": schema.NewSecret([]byte(v.id)), "secret_access_key": schema.NewSecret([]byte(keys[v.id])),
		}, times[v.id])
		require.NoError(t, err, name)
		scope := v.id + "/" + times[v.id].Format("20060102") + "/us-east-1/" + v.service + "/aws4_request"
		assert.Equal(t, "AWS4-HMAC-SHA256 Credential="+scope+", SignedHeaders="+v.signed+", Signature="+v.signature, d.header.Get("Authorization"), name)
		assert.Equal(t, "gzip", d.header.Get("Accept-Encoding"))
		assert.Equal(t, v.signature, secrets[0].text, name)
	}
}
