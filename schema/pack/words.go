package pack

// words is the dictionary: what our own JSON, and that of shops, books and their
// webhooks, has in common. It must never change, see dictionaryID.
const words = `{"error":{"type":"https://serverlessworkflow.io/spec/1.0.0/errors/communication","status":500,"title":"","detail":"","instance":"/do/` +
	`"first_name":"","last_name":"","full_name":"","company":"","phone":"+","country":"US","country_code":"DE","state":"","city":"","zip":"","postal_code":"",` +
	`"street":"","address":"","address1":"","address2":null,"billing_address":{"shipping_address":{"latitude":"longitude":"timezone":"language":"en","locale":"en-US"` +
	`"object":"event","api_version":"2025-01-01","livemode":false,"metadata":{},"data":{"object":{"type":"payment","mode":"method":"card","provider":"` +
	`"url":"https://www.example.com/","html_url":"https://github.com/","repository":{"sender":{"login":"","action":"created","message":"","text":"","subject":"","channel":"","user":"","team":"","tags":[],` +
	`"created":17,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00.000Z","date":"2026-","time":"","timestamp":17,"expires_at":null,"deleted":false,"active":true,"enabled":true,` +
	`"invoice":"","invoice_number":"","bill":"","payment":"","amount":100,"total":0,"total_price":"0.00","subtotal":"","tax":0,"discount":0,"fee":"balance":"currency":"EUR","USD","GBP","price":"unit_price":"cost":"rate":"vat":"quantity":1,"qty":1,` +
	`"customer":{"id":"","name":"","email":"@example.com"},"supplier":"","vendor":"","buyer":"","seller":"","order":"","order_id":"","order_number":"","reference":"","number":"","note":"","notes":null,"comment":"","category":"","code":"","key":"","value":"","count":0,"index":0,"page":"next":"prev":"results":[{"items":[{"lines":[{"line_items":[{"products":[{"product_id":"variant_id":"sku":"","title":"","name":"","description":"","label":"","content":"","role":"user","model":"","usage":{"status":"completed","state":"open","kind":"","version":1,"source":"","target":"","path":"/","host":"","body":{"id":"` +
	`{"organization":"org_01","carrier":"car_01","interpreter":3,"runs":[{"run":"run_01","digest":"","epoch":1},{"run":"run_01` +
	`{"steps":[{"owner":{"carrier":"car_01","run":"run_01","epoch":1,"digest":""},"key":"/do/0/","effect":"/do/0/","pointer":"/do/0/","phase":"whole","following":[{"key":"/do/1/","pointer":"/do/1/"},{"key":"/do/2/","effect":"/do/2/","pointer":"/do/2/"}],"finishes":true},` +
	`{"answers":[{"output":"/do/0/","context":"/do/0/^c","following":[{"output":"/do/1/","context":"/do/0/^c"},{"output":"/do/2/","context":"/do/"}],"finished":true},` +
	"\n\x16\n\bencoding\x12\njson/plain\x12" +
	`{"headers":{"accept":"*/*","accept-encoding":"gzip","connection":"close","content-length":"","content-type":"application/json; charset=utf-8","user-agent":"Go-http-client/1.1","traceparent":"00-","webhook-id":"","webhook-timestamp":"17","x-forwarded-for":"","x-forwarded-proto":"https"},"content_type":"application/json","body":{"id":"` +
	`"},"source":"src_01","problem":{"type":"communication","status":"policy":"repeat","until":"202` +
	`{"result":{"output":"/do/1/","context":"/do/0/^c","skipped":true,"branch":"","wait":"count":"fault":{"type":"instance":"/do/","ref":"/do/` +
	`"},"values":{"/do/0/":{"output":{"`
