"use strict";
// Passkeys and live pages. Everything that is shown comes from the server as text; nothing here writes markup.

const body = document.body;
const relyingParty = body.dataset.relyingParty;
let busy = false;

const toBytes = (text) => {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(padded), (one) => one.charCodeAt(0));
};
const fromBytes = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const fromHex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

const say = (text, wrong) => {
  const place = document.getElementById("said");
  place.textContent = text;
  place.className = wrong ? "said wrong" : "said";
  place.hidden = false;
  place.focus();
};

const post = async (path, value) => {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
    credentials: "same-origin",
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || "the server did not say what is wrong (" + response.status + ")");
  return answer;
};

const plainly = (error) => {
  if (error.name === "NotAllowedError") return "The passkey was not used: cancelled, timed out, or it could not verify you.";
  if (error.name === "InvalidStateError") return "This device holds a passkey for you already.";
  if (error.name === "SecurityError") return "The browser does not take passkeys for this address. Open the console at its own origin.";
  return error.message;
};

const doing = async (button, work) => {
  if (busy) return;
  busy = true;
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    say(plainly(error), true);
    button.disabled = false;
  }
  busy = false;
};

// The assertion over a challenge, in the form in which signers verify it.
const assertion = async (challenge, credentials) => {
  const found = await navigator.credentials.get({
    publicKey: {
      challenge,
      rpId: relyingParty,
      userVerification: "required",
      allowCredentials: credentials.map((id) => ({ type: "public-key", id: toBytes(id) })),
    },
  });
  return JSON.stringify({
    authenticator_data: fromBytes(found.response.authenticatorData),
    client_data_json: fromBytes(found.response.clientDataJSON),
    credential: fromBytes(found.rawId),
    signature: fromBytes(found.response.signature),
  });
};

const signIn = document.getElementById("sign-in");
if (signIn) {
  signIn.addEventListener("click", () =>
    doing(signIn, async () => {
      const { challenge } = await post("/console/sign-in/begin", {});
      const signed = await assertion(fromHex(challenge), []);
      await post("/console/sign-in/finish", { challenge, assertion: signed });
      location.assign("/console");
    }));
}

const enrol = document.getElementById("enrol");
if (enrol) {
  const secret = location.hash.slice(1);
  // Out of the address bar and the history.
  history.replaceState(null, "", location.pathname);
  enrol.addEventListener("click", () =>
    doing(enrol, async () => {
      const { challenge, operator } = await post("/console/enrol/begin", { secret });
      const made = await navigator.credentials.create({
        publicKey: {
          challenge: fromHex(challenge),
          rp: { id: relyingParty, name: "Claviger" },
          user: { id: new TextEncoder().encode(operator), name: operator, displayName: operator },
          pubKeyCredParams: [{ type: "public-key", alg: -7 }],
          authenticatorSelection: { residentKey: "required", userVerification: "required" },
          attestation: "none",
        },
      });
      const registration = JSON.stringify({
        authenticator_data: fromBytes(made.response.getAuthenticatorData()),
        client_data_json: fromBytes(made.response.clientDataJSON),
      });
      await post("/console/enrol/finish", { secret, registration });
      document.getElementById("enrolled").hidden = false;
      enrol.hidden = true;
      say("Your passkey is enrolled, " + operator + ".", false);
    }));
}

for (const button of document.querySelectorAll("[data-approve]")) {
  button.addEventListener("click", () =>
    doing(button, async () => {
      const signed = await assertion(fromHex(button.dataset.digest), button.dataset.credentials.split(" ").filter(Boolean));
      await post(button.dataset.approve, { signature: signed });
      location.reload();
    }));
}

// From the keyboard: the way to freeze opens at its first field, and Escape closes it.
const act = document.querySelector("details.act");
if (act) {
  act.addEventListener("toggle", () => { if (act.open) act.querySelector("select").focus(); });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !act.open) return;
    act.open = false;
    act.querySelector("summary").focus();
  });
  // On a small screen the pages' names are a row that scrolls: the one that is shown is in view.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

// Pages that show what changes come again when something has changed, unless somebody is in the middle of something.
if (body.dataset.live) {
  const source = new EventSource("/console/live");
  source.addEventListener("change", (event) => {
    const typing = document.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    const open = document.querySelector("details.act[open]");
    if (event.data === body.dataset.live) return;
    if (busy || typing || open) {
      document.getElementById("stale").hidden = false;
    } else {
      location.reload();
    }
  });
  const dot = document.getElementById("live");
  source.onopen = () => { dot.className = "live on"; dot.title = "live"; };
  source.onerror = () => {
    dot.className = "live off";
    dot.title = "the connection is broken; what you see may be old";
    // It is not tried again: the session has ended, or the server says something else than before.
    if (source.readyState === EventSource.CLOSED) document.getElementById("stale").hidden = false;
  };
  addEventListener("pagehide", () => source.close());
}
