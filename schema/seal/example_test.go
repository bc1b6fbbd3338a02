package seal_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/tenonhq/tenon/schema/seal"
)

// A program of your own seals a credential, so that the API never sees it. The
// answer of GET /v1/connections/{connection}/sealing has all that it takes; what
// comes out is the body of PUT /v1/connections/{connection}/credential.
func ExampleSealCredential() {
	answer := []byte(`{
	  "format": "tenon-credential-v1",
	  "public_key": "kJcFsOfRgX21bNy4m6L6utPpoBssI7xz4+ydmi/5uCc=",
	  "organization": "org_01h455vb4pex5vsknk084sn02q",
	  "connection": "con_01h455vb4pex5vsknk084sn02q",
	  "version": 1,
	  "use": {"hosts": ["api.example.com"], "path_prefix": "/v1/", "inject": {"scheme": "header", "name": "X-Api-Key"}}
	}`)
	var to struct {
		PublicKey    seal.PublicKey `json:"public_key"`
		Organization string         `json:"organization"`
		Connection   string         `json:"connection"`
		Version      int            `json:"version"`
		Use          seal.Use       `json:"use"`
	}
	if err := json.Unmarshal(answer, &to); err != nil {
		fmt.Println(err)
		return
	}
	values := map[string]string{"value": "test_5e1f7a90c2"}

	warnings, err := seal.Check(to.Use.Inject, values)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range warnings {
		fmt.Println(w.Pointer+":", w.Message)
	}
	sealed, err := seal.SealCredential(to.PublicKey, seal.Credential{
		Organization: to.Organization, Connection: to.Connection, Version: to.Version, Use: to.Use, Values: values,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := json.Marshal(map[string]any{"sealed": base64.StdEncoding.EncodeToString(sealed), "version": to.Version})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(body) > len(sealed))
	// Output:
	// /values/value: the value begins like a key for trying things out
	// true
}
