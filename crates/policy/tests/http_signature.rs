//! The profile of RFC 9421, and what a customer's request proves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::{NOW, charter, operator, withdrawal};
use ed25519_dalek::{Signer as _, SigningKey};
use policy::http_signature::{
    HttpSignatureError, Parameters, Parts, content_digest, signature_base, signature_header, verify,
};
use policy::{CustomerRefusal, WITHDRAWALS_PATH, verify_customer_request, withdrawal_id};
use types::{Amount, Body, CustomerRequest, Instruction, Moment};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn request(body: &str, idempotency_key: &str) -> CustomerRequest {
    let digest = content_digest(body.as_bytes());
    let parameters = Parameters {
        created: Moment::from_seconds(NOW - 60),
        expires: Moment::from_seconds(NOW + 240),
        key_id: "alice-1".to_owned(),
        nonce: "n-1".to_owned(),
    };
    let parts = Parts { method: "POST", path: WITHDRAWALS_PATH, content_digest: &digest, idempotency_key };
    let base = signature_base(&parts, &parameters).unwrap();
    CustomerRequest {
        method: "POST".to_owned(),
        path: WITHDRAWALS_PATH.to_owned(),
        idempotency_key: idempotency_key.to_owned(),
        content_digest: digest,
        signature_input: parameters.header(),
        signature: signature_header(&key().sign(base.as_bytes()).to_bytes()),
        body: body.to_owned(),
    }
}

fn asked() -> (policy::Charter, Instruction, CustomerRequest) {
    let mut charter = charter(vec![operator("olga", "north", &[])]);
    charter.customers[0].keys = vec![key().verifying_key().to_bytes()];
    let mut instruction = withdrawal(100);
    instruction.id = withdrawal_id(&"alice".parse().unwrap(), "order-7").unwrap();
    let body =
        format!(r#"{{"asset":"{}","destination":"bcrt1qexample","amount":"100"}}"#, instruction.asset().unwrap());
    (charter, instruction, request(&body, "order-7"))
}

#[test]
fn content_digest_matches_the_published_example() {
    // RFC 9530, appendix D: the digest of {"hello": "world"} without a line feed.
    assert_eq!(content_digest(br#"{"hello": "world"}"#), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
}

#[test]
fn the_base_is_that_of_the_standard() {
    let (_, _, request) = asked();
    let parameters = Parameters::from_header(&request.signature_input).unwrap();
    let parts =
        Parts { method: "POST", path: "/v1/withdrawals", content_digest: "sha-256=:AA==:", idempotency_key: "order-7" };
    assert_eq!(
        signature_base(&parts, &parameters).unwrap(),
        "\"@method\": POST\n\"@path\": /v1/withdrawals\n\"content-digest\": sha-256=:AA==:\n\"idempotency-key\": order-7\n\
         \"@signature-params\": (\"@method\" \"@path\" \"content-digest\" \"idempotency-key\");created=1799999940;expires=1800000240;\
         keyid=\"alice-1\";nonce=\"n-1\";alg=\"ed25519\""
    );
}

#[test]
fn t02_a_request_speaks_for_one_instruction_only() {
    let (charter, instruction, request) = asked();
    assert_eq!(verify_customer_request(&charter, &instruction, &request), Ok(()));

    let changed = |change: &dyn Fn(&mut types::Payment)| {
        let mut other = instruction.clone();
        if let Body::CustomerWithdrawal(payment) = &mut other.body {
            change(payment);
        }
        verify_customer_request(&charter, &other, &request)
    };
    assert_eq!(
        changed(&|payment| payment.destination = "bcrt1qmallory".to_owned()),
        Err(CustomerRefusal::Differs("destination"))
    );
    assert_eq!(changed(&|payment| payment.amount = Amount::from_units(101)), Err(CustomerRefusal::Differs("amount")));
    assert_eq!(changed(&|payment| payment.customer = "bob".parse().unwrap()), Err(CustomerRefusal::UnknownCustomer));

    let mut again = instruction.clone();
    again.id = "wd-again".parse().unwrap();
    assert_eq!(verify_customer_request(&charter, &again, &request), Err(CustomerRefusal::Differs("id")));
    let mut revived = instruction.clone();
    revived.created = Moment::from_seconds(NOW + 240);
    assert_eq!(verify_customer_request(&charter, &revived, &request), Err(CustomerRefusal::Time));
}

#[test]
fn t02_a_changed_request_is_refused() {
    let (charter, instruction, request) = asked();
    let changes: [&dyn Fn(&mut CustomerRequest); 6] = [
        &|request| request.body = request.body.replace("100", "999"),
        &|request| request.idempotency_key = "order-8".to_owned(),
        &|request| request.signature_input = request.signature_input.replace("n-1", "n-2"),
        &|request| request.signature_input = request.signature_input.replace("1800000240", "1900000240"),
        &|request| request.signature = request.signature.replacen(":", ":AAAA", 1),
        &|request| request.content_digest = content_digest(b"other"),
    ];
    for change in changes {
        let mut changed = request.clone();
        change(&mut changed);
        assert_eq!(verify_customer_request(&charter, &instruction, &changed), Err(CustomerRefusal::Signature));
    }
    let mut elsewhere = request;
    elsewhere.path = "/v1/transfers".to_owned();
    assert_eq!(verify_customer_request(&charter, &instruction, &elsewhere), Err(CustomerRefusal::Target));
}

#[test]
fn other_forms_of_the_standard_are_refused() {
    let (_, _, request) = asked();
    for (from, to) in [
        ("sig1=", "sig2="),
        ("ed25519", "hmac-sha256"),
        (";nonce=\"n-1\"", ""),
        ("\"@path\" ", ""),
        ("created=1799999940", "created=01799999940"),
        ("keyid=\"alice-1\"", "keyid=\"alice\\\"1\""),
        (";alg=", ";tag=\"x\";alg="),
    ] {
        let header = request.signature_input.replacen(from, to, 1);
        assert_ne!(header, request.signature_input);
        assert_eq!(Parameters::from_header(&header), Err(HttpSignatureError::Input), "{header}");
    }
    let parts = Parts { method: "POST", path: "/a\nb", content_digest: &request.content_digest, idempotency_key: "" };
    let key = key().verifying_key().to_bytes();
    let refusal = verify(&parts, request.body.as_bytes(), &request.signature_input, &request.signature, &key);
    assert_eq!(refusal, Err(HttpSignatureError::Characters));
}
