// Signs, and verifies, as the vendors do: with their own libraries. Reads one
// JSON array of questions, writes one of answers.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import Stripe from 'stripe'
import twilio from 'twilio'
import { sign as github } from '@octokit/webhooks-methods'
import { Webhook as Svix } from 'svix'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import '@shopify/shopify-api/adapters/node'
import { shopifyApi } from '@shopify/shopify-api'

const require = createRequire(import.meta.url)
const slack = require('@slack/events-api')
const stripe = new Stripe('sk_test_none')

const vendors = {
  stripe: async ({ secret, body, at }) => ({
    'Stripe-Signature': stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }),
  }),
  github: async ({ secret, body }) => ({ 'X-Hub-Signature-256': await github(secret, body) }),
  svix: async ({ secret, body, at, id }) => ({
    'Svix-Id': id, 'Svix-Timestamp': String(at), 'Svix-Signature': new Svix(secret).sign(id, new Date(at * 1000), body),
  }),
  'standard-webhooks': async ({ secret, body, at, id }) => ({
    'Webhook-Id': id, 'Webhook-Timestamp': String(at), 'Webhook-Signature': new StandardWebhook(secret).sign(id, new Date(at * 1000), body),
  }),
  twilio: async ({ secret, url, params }) => ({ 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(secret, url, params) }),
  // The libraries of these two only verify: they judge what the test signed.
  slack: async ({ secret, body, headers }) => ({
    ok: String(slack.verifyRequestSignature({
      signingSecret: secret, requestSignature: headers['X-Slack-Signature'], requestTimestamp: headers['X-Slack-Request-Timestamp'], body,
    })),
  }),
  shopify: async ({ secret, body, headers }) => {
    const api = shopifyApi({
      apiKey: 'k', apiSecretKey: secret, apiVersion: '2025-01', hostName: 'tenon.example', isEmbeddedApp: false, logger: { log: () => {} },
    })
    const lower = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]))
    const found = await api.webhooks.validate({ rawBody: body, rawRequest: { headers: lower, method: 'POST', url: '/' }, rawResponse: {} })
    return { ok: String(found.valid) }
  },
}

const questions = JSON.parse(readFileSync(0, 'utf8'))
const answers = []
for (const q of questions) answers.push(await vendors[q.vendor](q))
process.stdout.write(JSON.stringify(answers))
