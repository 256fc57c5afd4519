// A real OpenID Connect issuer on loopback: node oidc_issuer.mjs <module of oidc-provider> <port> <groups as JSON>
// Each start signs with new keys. Clients sign in with their secret, people (any name, any password) by the code flow.
import { generateKeyPairSync, randomUUID } from "node:crypto"

const [module, port, listed] = process.argv.slice(2)
const { default: Provider } = await import(module)
const groups = JSON.parse(listed) // of a client or a person
const issuer = `http://127.0.0.1:${port}`

const key = (kind, options, alg) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), kid: randomUUID(), alg, use: "sig",
})
const machine = id => ({
  client_id: id, client_secret: "secret", grant_types: ["client_credentials"], response_types: [], redirect_uris: [],
})
const page = {
  client_id: "page", token_endpoint_auth_method: "none", application_type: "native",
  redirect_uris: ["http://127.0.0.1/back", "http://127.0.0.1/"], // on any port
}

const provider = new Provider(issuer, {
  jwks: { keys: [key("rsa", { modulusLength: 2048 }, "RS256"), key("ec", { namedCurve: "P-256" }, "ES256")] },
  clients: [...Object.keys(groups).map(machine), page],
  cookies: { keys: ["cookies"] },
  clientBasedCORS: (_, origin, client) => client.clientId === "page" && origin.startsWith("http://127.0.0.1:"),
  formats: {
    customizers: {
      jwt: (_, token, jwt) => { if (token.resourceServer.identifier().endsWith("/expired")) jwt.payload.exp = jwt.payload.iat - 60 },
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({ groups: groups[token.accountId ?? token.clientId] }),
  features: {
    clientCredentials: { enabled: true },
    // An endpoint is a resource: tokens for https://mcmfh are JWTs whose audience is "mcmfh". Those for
    // https://mcmfh/ec have another kind of signature, those for https://mcmfh/expired have expired.
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "search", audience: new URL(resource).hostname, accessTokenFormat: "jwt",
        jwt: { sign: { alg: resource.endsWith("/ec") ? "ES256" : "RS256" } },
      }),
    },
  },
})
provider.listen(Number(port), "127.0.0.1")
