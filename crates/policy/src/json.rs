//! The charter's spelling. Domain types are not serializable themselves; this is their boundary.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};
use types::{Digest, Moment};

use crate::charter::{
    ActivationCaps, AllowedAddress, Charter, CharterError, Customer, Destinations, FeeCaps, Hours, Operator, Passkey,
    PaymentKind, Quorum, RelyingParty, SignerIdentity, Tier, Wallet, WalletClass, WalletWindow, Window,
};
use crate::roles::Role;

/// Longest charter that is read, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// An object whose fields are taken one by one; what nobody took is an error.
struct Fields(Map<String, Value>);

fn form<T>(text: String) -> Result<T, CharterError> {
    Err(CharterError::Form(text))
}

impl Fields {
    fn of(value: Value, what: &str) -> Result<Fields, CharterError> {
        match value {
            Value::Object(map) => Ok(Fields(map)),
            _ => form(format!("{what} is not an object")),
        }
    }

    fn value(&mut self, key: &str) -> Result<Value, CharterError> {
        self.0.remove(key).ok_or_else(|| CharterError::Form(format!("the field \"{key}\" is missing")))
    }

    fn text(&mut self, key: &str) -> Result<String, CharterError> {
        match self.value(key)? {
            Value::String(text) if !text.chars().any(char::is_control) => Ok(text),
            _ => form(format!("the field \"{key}\" is not a plain string")),
        }
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, key: &str) -> Result<T, CharterError> {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| CharterError::Form(format!("the field \"{key}\": {error}")))
    }

    fn choice<T: Copy>(&mut self, key: &str, names: &[(&str, T)]) -> Result<T, CharterError> {
        let text = self.text(key)?;
        match names.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Ok(*choice),
            None => form(format!("the field \"{key}\" has the unknown value \"{text}\"")),
        }
    }

    /// A moment; an empty text for none.
    fn moment(&mut self, key: &str) -> Result<Option<Moment>, CharterError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|error| CharterError::Form(format!("the field \"{key}\": {error}")))
    }

    fn key(&mut self, key: &str) -> Result<[u8; 32], CharterError> {
        self.parse::<Digest>(key).map(|digest| *digest.as_bytes())
    }

    fn list<T>(&mut self, key: &str, read: impl Fn(Value) -> Result<T, CharterError>) -> Result<Vec<T>, CharterError> {
        match self.value(key)? {
            Value::Array(values) => values.into_iter().map(read).collect(),
            _ => form(format!("the field \"{key}\" is not a list")),
        }
    }

    fn object<T>(&mut self, key: &str, read: impl Fn(Fields) -> Result<T, CharterError>) -> Result<T, CharterError> {
        read(Fields::of(self.value(key)?, key)?)
    }

    fn finish(self) -> Result<(), CharterError> {
        match self.0.into_iter().next() {
            Some((key, _)) => form(format!("the field \"{key}\" is not known here")),
            None => Ok(()),
        }
    }
}

const YES_NO: &[(&str, bool)] = &[("yes", true), ("no", false)];
const CLASSES: &[(&str, WalletClass)] = &[("hot", WalletClass::Hot), ("cold", WalletClass::Cold)];
const KINDS: &[(&str, PaymentKind)] =
    &[("customer-withdrawal", PaymentKind::CustomerWithdrawal), ("operator-transfer", PaymentKind::OperatorTransfer)];
const DESTINATIONS: &[(&str, Destinations)] =
    &[("any", Destinations::Any), ("allow-list", Destinations::AllowList), ("own-wallets", Destinations::OwnWallets)];

fn name_of<T: PartialEq + Copy>(names: &[(&'static str, T)], choice: T) -> &'static str {
    names.iter().find(|(_, candidate)| *candidate == choice).map_or("", |(name, _)| name)
}

/// Reads a charter from JSON; the caller compares spellings and checks contradictions.
pub(crate) fn read_charter(bytes: &[u8]) -> Result<Charter, CharterError> {
    if bytes.len() > BYTES_MAX {
        return form(format!("longer than {BYTES_MAX} bytes"));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| CharterError::Form(error.to_string()))?;
    let mut fields = Fields::of(value, "the charter")?;
    let previous = fields.text("previous")?;
    let charter = Charter {
        version: fields.parse("version")?,
        previous: if previous.is_empty() {
            None
        } else {
            Some(previous.parse().map_err(|error: types::DigestError| CharterError::Form(error.to_string()))?)
        },
        network: fields.parse("network")?,
        operators: fields.list("operators", read_operator)?,
        relying_party: fields.object("relying_party", |mut party| {
            let relying_party = RelyingParty { id: party.text("id")?, origin: party.text("origin")? };
            party.finish().map(|()| relying_party)
        })?,
        customers: fields.list("customers", read_customer)?,
        signers: fields.list("signers", read_signer)?,
        wallets: fields.list("wallets", read_wallet)?,
        tiers: fields.list("tiers", read_tier)?,
        totals: fields.list("totals", read_total)?,
        allow_list: fields.list("allow_list", read_allowed)?,
        address_book_seconds: fields.parse("address_book_seconds")?,
        fee: fields.object("fee", |mut fee| {
            let caps = FeeCaps { sats_max: fee.parse("sats_max")?, sats_per_kvb_max: fee.parse("sats_per_kvb_max")? };
            fee.finish().map(|()| caps)
        })?,
        charter_quorum: fields.object("charter_quorum", read_quorum)?,
        release_quorum: fields.object("release_quorum", read_quorum)?,
        key_quorum: fields.object("key_quorum", read_quorum)?,
        activation: fields.object("activation", |mut caps| {
            let activation = ActivationCaps {
                seconds_max: caps.parse("seconds_max")?,
                signatures_max: caps.parse("signatures_max")?,
            };
            caps.finish().map(|()| activation)
        })?,
        clock_step_seconds_max: fields.parse("clock_step_seconds_max")?,
        instruction_seconds_max: fields.parse("instruction_seconds_max")?,
    };
    fields.finish().map(|()| charter)
}

fn read_operator(value: Value) -> Result<Operator, CharterError> {
    let mut fields = Fields::of(value, "an operator")?;
    let operator = Operator {
        id: fields.parse("id")?,
        name: fields.text("name")?,
        organisation: fields.text("organisation")?,
        roles: fields.list("roles", |role| {
            let word = read_text(role)?;
            let role = Role::ALL.into_iter().find(|role| role.as_str() == word);
            role.ok_or_else(|| {
                CharterError::Form(format!(
                    "the role \"{word}\" is unknown; roles are approver, requester, administrator and auditor"
                ))
            })
        })?,
        expires: fields.moment("expires")?,
        review: fields.moment("review")?,
        keys: fields.list("keys", read_text)?,
        passkeys: fields.list("passkeys", read_passkey)?,
    };
    fields.finish().map(|()| operator)
}

fn read_passkey(value: Value) -> Result<Passkey, CharterError> {
    let mut fields = Fields::of(value, "a passkey")?;
    let mut public_key = [0; 33];
    hex::decode_to_slice(fields.text("public_key")?, &mut public_key)
        .map_err(|_| CharterError::Form("a passkey's public key is 66 hex digits".to_owned()))?;
    let credential = fields.text("credential")?;
    let passkey = Passkey { credential, public_key, device_bound: fields.choice("device_bound", YES_NO)? };
    fields.finish().map(|()| passkey)
}

fn read_text(value: Value) -> Result<String, CharterError> {
    match value {
        Value::String(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => form("a list of texts holds something else".to_owned()),
    }
}

fn read_customer(value: Value) -> Result<Customer, CharterError> {
    let mut fields = Fields::of(value, "a customer")?;
    let customer = Customer {
        id: fields.parse("id")?,
        keys: fields.list("keys", |key| {
            let digest: Result<Digest, _> = read_text(key)?.parse();
            digest
                .map(|bytes| *bytes.as_bytes())
                .map_err(|_| CharterError::Form("a customer's key is 64 hex digits".to_owned()))
        })?,
    };
    fields.finish().map(|()| customer)
}

fn read_signer(value: Value) -> Result<SignerIdentity, CharterError> {
    let mut fields = Fields::of(value, "a signer")?;
    let signer = SignerIdentity {
        id: fields.parse("id")?,
        journal_key: fields.key("journal_key")?,
        offline: fields.choice("offline", YES_NO)?,
        custodians: fields.list("custodians", |name| {
            read_text(name)?
                .parse()
                .map_err(|error: types::IdError| CharterError::Form(format!("a custodian: {error}")))
        })?,
        device: fields.text("device")?,
    };
    fields.finish().map(|()| signer)
}

fn read_wallet(value: Value) -> Result<Wallet, CharterError> {
    let mut fields = Fields::of(value, "a wallet")?;
    let wallet = Wallet {
        id: fields.parse("id")?,
        asset: fields.parse("asset")?,
        class: fields.choice("class", CLASSES)?,
        descriptor: fields.text("descriptor")?,
        gap_limit: fields.parse("gap_limit")?,
    };
    fields.finish().map(|()| wallet)
}

fn read_tier(value: Value) -> Result<Tier, CharterError> {
    let mut fields = Fields::of(value, "a tier")?;
    let tier = Tier {
        name: fields.text("name")?,
        wallet: fields.parse("wallet")?,
        kind: fields.choice("kind", KINDS)?,
        amount_max: fields.parse("amount_max")?,
        windows: fields.list("windows", |window| read_window(Fields::of(window, "a window")?))?,
        quorum: fields.object("quorum", read_quorum)?,
        destinations: fields.choice("destinations", DESTINATIONS)?,
        customer_signature: fields.choice("customer_signature", YES_NO)?,
        device_bound: fields.choice("device_bound", YES_NO)?,
        delay_seconds: fields.parse("delay_seconds")?,
        hours: read_hours(&fields.text("hours")?)?,
    };
    fields.finish().map(|()| tier)
}

/// Hours are written `mon-tue-fri 08:00-17:30`, in UTC; an empty text means always.
pub(crate) fn read_hours(text: &str) -> Result<Option<Hours>, CharterError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || CharterError::Form(format!("hours are written mon-tue-fri 08:00-17:30, not \"{text}\""));
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let (names, span) = text.split_once(' ').ok_or_else(wrong)?;
    let mut days = [false; 7];
    for name in names.split('-') {
        let day = DAYS.iter().zip(&mut days).find(|(day, _)| **day == name).ok_or_else(wrong)?;
        *day.1 = true;
    }
    let (from, to) = span.split_once('-').ok_or_else(wrong)?;
    let (from_minute, to_minute) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
    Ok(Some(Hours { days, from_minute, to_minute }))
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(crate) fn write_hours(hours: &Hours) -> String {
    let days: Vec<_> = DAYS.iter().zip(hours.days).filter(|(_, open)| *open).map(|(day, _)| *day).collect();
    let minute = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} {}-{}", days.join("-"), minute(hours.from_minute), minute(hours.to_minute))
}

fn read_window(mut fields: Fields) -> Result<Window, CharterError> {
    let window = Window { seconds: fields.parse("seconds")?, amount_max: fields.parse("amount_max")? };
    fields.finish().map(|()| window)
}

fn read_total(value: Value) -> Result<WalletWindow, CharterError> {
    let mut fields = Fields::of(value, "a total")?;
    let wallet = fields.parse("wallet")?;
    read_window(fields).map(|window| WalletWindow { wallet, window })
}

fn read_allowed(value: Value) -> Result<AllowedAddress, CharterError> {
    let mut fields = Fields::of(value, "an allowed address")?;
    let allowed = AllowedAddress { customer: fields.parse("customer")?, address: fields.text("address")? };
    fields.finish().map(|()| allowed)
}

fn read_quorum(mut fields: Fields) -> Result<Quorum, CharterError> {
    let quorum = Quorum { people: fields.parse("people")?, organisations: fields.parse("organisations")? };
    fields.finish().map(|()| quorum)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn text(value: impl Display) -> Value {
    Value::String(value.to_string())
}

fn list<T>(items: &[T], write: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(write).collect())
}

fn write_quorum(quorum: &Quorum) -> Value {
    object([("people", text(quorum.people)), ("organisations", text(quorum.organisations))])
}

fn write_window(window: &Window) -> Value {
    object([("seconds", text(window.seconds)), ("amount_max", text(window.amount_max))])
}

fn write_tier(tier: &Tier) -> Value {
    object([
        ("name", text(&tier.name)),
        ("wallet", text(&tier.wallet)),
        ("kind", text(name_of(KINDS, tier.kind))),
        ("amount_max", text(tier.amount_max)),
        ("windows", list(&tier.windows, write_window)),
        ("quorum", write_quorum(&tier.quorum)),
        ("destinations", text(name_of(DESTINATIONS, tier.destinations))),
        ("customer_signature", text(name_of(YES_NO, tier.customer_signature))),
        ("device_bound", text(name_of(YES_NO, tier.device_bound))),
        ("delay_seconds", text(tier.delay_seconds)),
        ("hours", text(tier.hours.as_ref().map(write_hours).unwrap_or_default())),
    ])
}

/// Writes the canonical bytes: `serde_json`'s map keeps keys sorted, and every scalar is a string.
pub(crate) fn write_charter(charter: &Charter) -> Vec<u8> {
    let value = object([
        ("version", text(charter.version)),
        ("previous", text(charter.previous.map(|digest| digest.to_string()).unwrap_or_default())),
        ("network", text(charter.network)),
        (
            "operators",
            list(&charter.operators, |operator| {
                object([
                    ("id", text(&operator.id)),
                    ("name", text(&operator.name)),
                    ("organisation", text(&operator.organisation)),
                    ("roles", list(&operator.roles, |role| text(role.as_str()))),
                    ("expires", text(operator.expires.map(|at| at.to_string()).unwrap_or_default())),
                    ("review", text(operator.review.map(|at| at.to_string()).unwrap_or_default())),
                    ("keys", list(&operator.keys, |key| text(key))),
                    (
                        "passkeys",
                        list(&operator.passkeys, |passkey| {
                            object([
                                ("credential", text(&passkey.credential)),
                                ("public_key", text(hex::encode(passkey.public_key))),
                                ("device_bound", text(name_of(YES_NO, passkey.device_bound))),
                            ])
                        }),
                    ),
                ])
            }),
        ),
        (
            "relying_party",
            object([("id", text(&charter.relying_party.id)), ("origin", text(&charter.relying_party.origin))]),
        ),
        (
            "customers",
            list(&charter.customers, |customer| {
                object([("id", text(&customer.id)), ("keys", list(&customer.keys, |key| text(hex::encode(key))))])
            }),
        ),
        (
            "signers",
            list(&charter.signers, |signer| {
                object([
                    ("id", text(&signer.id)),
                    ("journal_key", text(hex::encode(signer.journal_key))),
                    ("offline", text(name_of(YES_NO, signer.offline))),
                    ("custodians", list(&signer.custodians, |name| text(name))),
                    ("device", text(&signer.device)),
                ])
            }),
        ),
        (
            "wallets",
            list(&charter.wallets, |wallet| {
                object([
                    ("id", text(&wallet.id)),
                    ("asset", text(wallet.asset)),
                    ("class", text(name_of(CLASSES, wallet.class))),
                    ("descriptor", text(&wallet.descriptor)),
                    ("gap_limit", text(wallet.gap_limit)),
                ])
            }),
        ),
        ("tiers", list(&charter.tiers, write_tier)),
        (
            "totals",
            list(&charter.totals, |total| {
                object([
                    ("wallet", text(&total.wallet)),
                    ("seconds", text(total.window.seconds)),
                    ("amount_max", text(total.window.amount_max)),
                ])
            }),
        ),
        (
            "allow_list",
            list(&charter.allow_list, |allowed| {
                object([("customer", text(&allowed.customer)), ("address", text(&allowed.address))])
            }),
        ),
        ("address_book_seconds", text(charter.address_book_seconds)),
        (
            "fee",
            object([
                ("sats_max", text(charter.fee.sats_max)),
                ("sats_per_kvb_max", text(charter.fee.sats_per_kvb_max)),
            ]),
        ),
        ("charter_quorum", write_quorum(&charter.charter_quorum)),
        ("release_quorum", write_quorum(&charter.release_quorum)),
        ("key_quorum", write_quorum(&charter.key_quorum)),
        (
            "activation",
            object([
                ("seconds_max", text(charter.activation.seconds_max)),
                ("signatures_max", text(charter.activation.signatures_max)),
            ]),
        ),
        ("clock_step_seconds_max", text(charter.clock_step_seconds_max)),
        ("instruction_seconds_max", text(charter.instruction_seconds_max)),
    ]);
    serde_json::to_vec(&value).unwrap_or_default()
}
