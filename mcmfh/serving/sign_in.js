"use strict"
// Signs somebody in at the OpenID Connect issuer: authorization code flow with PKCE, as a public client. The endpoint
// puts this script before the page's own where serve.oidc.client_id is set, with the settings in its attributes. The
// access token is kept as a key is; state, nonce and verifier are used once.
globalThis.issuer = (() => {
  const { issuer, client, scope, resource } = document.currentScript.dataset
  const BEGUN = "mcmfh-sign-in" // what this tab keeps while somebody is at the issuer
  const name = new URL(issuer).host, page = location.origin + location.pathname
  const target = resource ? { resource } : {}

  class NotSignedIn extends Error {}
  const refusal = (error, description) =>
    new NotSignedIn(`${name} refused the sign-in: ${[error, description].filter(Boolean).join(", ").slice(0, 300)}`)
  const base64url = bytes =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")
  const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
  const ask = (address, options) =>
    fetch(address, { credentials: "omit", redirect: "error", signal: AbortSignal.timeout(10000), ...options }).catch(() => {
      throw new NotSignedIn(`${name} cannot be reached from this page. Try again later, or enter a key.`)
    })

  // The addresses of login and exchange. The page's policy lets it ask the issuer's own origin alone.
  async function metadata() {
    const found = await (await ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`)).json()
    if (found.issuer !== issuer) throw new NotSignedIn(`${name} calls itself otherwise than serve.oidc.issuer does.`)
    const [own, login, exchange] =
      [issuer, found.authorization_endpoint, found.token_endpoint].map(address => new URL(address))
    if (login.protocol !== own.protocol || exchange.origin !== own.origin)
      throw new NotSignedIn(`${name} sends this page to ${login.origin} and ${exchange.origin}. Enter a key.`)
    return { login, exchange }
  }

  async function begin() {
    if (!globalThis.crypto?.subtle) throw new NotSignedIn("Open this page by https: a browser signs in nowhere else.")
    const { login } = await metadata()
    const [state, nonce, verifier] = [random(), random(), random()]
    const code_challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)))
    sessionStorage.setItem(BEGUN, JSON.stringify({ state, nonce, verifier }))
    const asked = {
      response_type: "code",
      response_mode: "fragment", // which a browser sends to no server
      client_id: client, redirect_uri: page, scope, state, nonce, code_challenge, code_challenge_method: "S256", ...target,
    }
    for (const [field, value] of Object.entries(asked)) login.searchParams.set(field, value)
    location.assign(login)
  }

  // Uses up what the issuer answered in this page's address: in the fragment, or in the query where it knows no other way.
  async function finish() {
    const answer = [location.hash, location.search]
      .map(part => new URLSearchParams(part.slice(1)))
      .find(part => part.has("code") || part.has("error"))
    if (!answer) return
    history.replaceState(null, "", location.pathname)
    const begun = JSON.parse(sessionStorage.getItem(BEGUN) || "{}")
    sessionStorage.removeItem(BEGUN)
    if (!begun.state || answer.get("state") !== begun.state || (answer.get("iss") ?? issuer) !== issuer)
      throw new NotSignedIn("This tab began no such sign-in. Sign in again.")
    if (!answer.has("code")) throw refusal(answer.get("error"), answer.get("error_description"))
    document.getElementById("status").textContent = "Signing in…"
    const { exchange } = await metadata()
    const asked = {
      grant_type: "authorization_code", code: answer.get("code"), code_verifier: begun.verifier,
      client_id: client, redirect_uri: page, ...target,
    }
    const response = await ask(exchange, { method: "POST", body: new URLSearchParams(asked) })
    const given = await response.json()
    if (!response.ok) throw refusal(given.error, given.error_description)
    // Fetched from the issuer itself, so its signature need not be verified (OpenID Connect Core 1.0, 3.1.3.7).
    const claims = JSON.parse(atob(given.id_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")))
    if (claims.nonce !== begun.nonce || claims.iss !== issuer || ![claims.aud].flat().includes(client))
      throw new NotSignedIn(`${name} answered another sign-in than this one. Sign in again.`)
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(given.access_token))
      throw new NotSignedIn(`${name} gave a token that is no JWT. serve.oidc.resource or serve.oidc.scopes must ask for one.`)
    sessionStorage.setItem("mcmfh-key", given.access_token)
  }

  // "" or why nobody was signed in.
  const reason = step => step().then(() => "", error =>
    error instanceof NotSignedIn ? error.message : `${name} gave no answer that can be read.`)

  const title = document.getElementById("sign-in-title"), refused = document.getElementById("refused")
  const button = Object.assign(document.createElement("button"), { id: "at-issuer", type: "button", textContent: `Sign in at ${name}` })
  button.addEventListener("click", async () => {
    button.disabled = true
    refused.textContent = await reason(begin)
    button.disabled = false
  })
  title.textContent = "Sign in"
  title.after(refused, button)
  document.getElementById("about-keys").prepend("Or enter a key. ")
  return { returned: reason(finish) } // a promise
})()
