/// An operator's approval: an SSH signature (OpenSSH's PROTOCOL.sshsig, namespace `claviger-approval`) over the text
/// that [`crate::Digest`] displays, followed by a line feed; or a passkey's assertion whose challenge is the digest's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who says to have approved; the charter says with which keys and passkeys that person does.
    pub operator: crate::OperatorId,
    /// The armoured signature, as `ssh-keygen -Y sign` writes it; or a JSON object with the assertion (Web Authentication Level 2)
    /// in base64url without padding: `authenticator_data`, `client_data_json`, `credential`, `signature`.
    pub signature: String,
}

/// A customer's signed HTTP request (RFC 9421, Ed25519), kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRequest {
    /// HTTP method.
    pub method: String,
    /// The request's path, with its query if there is one.
    pub path: String,
    /// The `Idempotency-Key` header.
    pub idempotency_key: String,
    /// The `Content-Digest` header (RFC 9530).
    pub content_digest: String,
    /// The `Signature-Input` header.
    pub signature_input: String,
    /// The `Signature` header.
    pub signature: String,
    /// The body, byte for byte.
    pub body: String,
}

/// What comes with an instruction to prove that people want it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The customer's own request, for a customer's withdrawal.
    pub customer_request: Option<CustomerRequest>,
    /// Operators' approvals.
    pub approvals: Vec<Approval>,
}
