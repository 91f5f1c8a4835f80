-- Passkeys that people enrolled. They open sessions; approvals are for the charter to know. `revoked` 0 means: holds.
CREATE TABLE credentials (
  id TEXT PRIMARY KEY,
  operator TEXT NOT NULL,
  public_key {BYTES} NOT NULL CHECK (length(public_key) = 33),
  device_bound BIGINT NOT NULL,
  created BIGINT NOT NULL,
  revoked BIGINT NOT NULL
);

-- One-time links, known by the hash of their secret. `used` 0 means: not yet.
CREATE TABLE enrolments (
  secret {BYTES} PRIMARY KEY CHECK (length(secret) = 32),
  operator TEXT NOT NULL,
  invited_by TEXT NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  used BIGINT NOT NULL
);

-- Sessions, known by the hash of their secret. `ended` 0 means: open.
CREATE TABLE sessions (
  secret {BYTES} PRIMARY KEY CHECK (length(secret) = 32),
  operator TEXT NOT NULL,
  credential TEXT NOT NULL,
  terminal TEXT NOT NULL,
  source TEXT NOT NULL,
  created BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  ended BIGINT NOT NULL
);
CREATE INDEX sessions_operator ON sessions (operator, ended);

-- Who says that a credential's device is lost: two others end it.
CREATE TABLE revocations (
  credential TEXT NOT NULL,
  operator TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (credential, operator)
);

-- Instructions that move no coins, and charters, while people decide. Their approvals stand with those of payments.
CREATE TABLE proposals (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  digest {BYTES} NOT NULL CHECK (length(digest) = 32),
  requester TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'done', 'withdrawn')),
  outcome TEXT NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL
);
CREATE INDEX proposals_state ON proposals (state, created);

-- Destinations that quorums let in. Signers keep their own book and ask nobody.
CREATE TABLE address_book (
  customer TEXT NOT NULL,
  address TEXT NOT NULL,
  since BIGINT NOT NULL,
  PRIMARY KEY (customer, address)
);

-- How far each webhook has been told.
CREATE TABLE webhooks (
  url TEXT PRIMARY KEY,
  delivered BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  problem TEXT NOT NULL,
  updated BIGINT NOT NULL
);
