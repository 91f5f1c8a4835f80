-- Public keys that sign API requests. Being in here moves nothing: signers know customers and approvers from the charter.
CREATE TABLE api_keys (
  public_key TEXT PRIMARY KEY,
  party TEXT NOT NULL,
  created BIGINT NOT NULL
);

CREATE TABLE wallets (
  id TEXT PRIMARY KEY,
  next_receive BIGINT NOT NULL,
  next_change BIGINT NOT NULL
);

CREATE TABLE addresses (
  id {KEY} PRIMARY KEY,
  wallet TEXT NOT NULL,
  branch BIGINT NOT NULL CHECK (branch IN (0, 1)),
  idx BIGINT NOT NULL,
  address TEXT NOT NULL UNIQUE,
  script {BYTES} NOT NULL,
  owner TEXT NOT NULL,
  label TEXT NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (wallet, branch, idx)
);
CREATE INDEX addresses_owner ON addresses (owner, id);

-- The newest blocks that were taken into account; a height of -1 elsewhere means: in no block.
CREATE TABLE blocks (height {KEY} PRIMARY KEY, hash TEXT NOT NULL);

CREATE TABLE deposits (
  id TEXT PRIMARY KEY,
  wallet TEXT NOT NULL,
  address TEXT NOT NULL,
  owner TEXT NOT NULL,
  asset TEXT NOT NULL,
  amount {BYTES} NOT NULL CHECK (length(amount) = 16),
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  height BIGINT NOT NULL,
  coinbase BIGINT NOT NULL,
  required BIGINT NOT NULL,
  credits BIGINT NOT NULL,
  shortfall {BYTES} NOT NULL CHECK (length(shortfall) = 16),
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL
);
CREATE INDEX deposits_owner ON deposits (owner, created, id);
CREATE INDEX deposits_state ON deposits (state, height);
CREATE INDEX deposits_height ON deposits (height);

CREATE TABLE coins (
  id TEXT PRIMARY KEY,
  wallet TEXT NOT NULL,
  branch BIGINT NOT NULL,
  idx BIGINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount > 0),
  origin TEXT NOT NULL CHECK (origin IN ('deposit', 'change', 'transfer')),
  state TEXT NOT NULL CHECK (state IN ('pending', 'spendable', 'reserved', 'spent')),
  height BIGINT NOT NULL,
  spent_height BIGINT NOT NULL,
  spent_by TEXT NOT NULL,
  grp TEXT NOT NULL
);
CREATE INDEX coins_wallet ON coins (wallet, state);
CREATE INDEX coins_grp ON coins (grp);

-- Whole transactions that made our coins: signers believe no amount that they do not read there.
CREATE TABLE previous_transactions (txid TEXT PRIMARY KEY, raw {BYTES} NOT NULL);

CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  requester TEXT NOT NULL,
  asset TEXT NOT NULL,
  wallet TEXT NOT NULL,
  destination TEXT NOT NULL,
  destination_wallet TEXT NOT NULL,
  amount {BYTES} NOT NULL CHECK (length(amount) = 16),
  canonical TEXT NOT NULL,
  request TEXT NOT NULL,
  body_digest {BYTES} NOT NULL,
  hold {BYTES} NOT NULL,
  expires BIGINT NOT NULL,
  tier TEXT NOT NULL,
  reason TEXT NOT NULL,
  grp TEXT NOT NULL,
  solo BIGINT NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL
);
CREATE INDEX payments_requester ON payments (requester, created, id);
CREATE INDEX payments_state ON payments (state, wallet);
CREATE INDEX payments_grp ON payments (grp);

CREATE TABLE approvals (
  payment TEXT NOT NULL,
  operator TEXT NOT NULL,
  signature TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (payment, operator)
);

-- One row for each try; tries of one group spend the same anchor, so that at most one of them confirms.
CREATE TABLE transactions (
  txid TEXT PRIMARY KEY,
  grp TEXT NOT NULL,
  wallet TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('generated', 'signed', 'broadcast', 'confirmed', 'replaced', 'dissolved')),
  psbt {BYTES} NOT NULL,
  raw {BYTES} NOT NULL,
  fee BIGINT NOT NULL,
  rate BIGINT NOT NULL,
  fee_hold {BYTES} NOT NULL,
  asked BIGINT NOT NULL,
  height BIGINT NOT NULL,
  tip BIGINT NOT NULL,
  settled BIGINT NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL
);
CREATE INDEX transactions_state ON transactions (state);
CREATE INDEX transactions_grp ON transactions (grp);

CREATE TABLE alarms (
  id TEXT PRIMARY KEY,
  code TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  raised BIGINT NOT NULL,
  cleared BIGINT NOT NULL
);

-- Answers to requests that make something and are not payments, under the caller's own key.
CREATE TABLE idempotency (
  id TEXT PRIMARY KEY,
  body_digest {BYTES} NOT NULL,
  answer TEXT NOT NULL,
  created BIGINT NOT NULL
);
