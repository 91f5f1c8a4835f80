//! Which role may do what: one table, kept as a golden file and tried cell by cell through the interface.
//!
//! Only `approve` is checked by signers; the rest keeps honest people from mistakes and thieves of a session from noise.

/// What a person is for. The charter gives roles; nobody who administers also requests or approves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Says yes to instructions, with a key that signers know.
    Approver,
    /// Asks for transfers and looks after payments and deposits.
    Requester,
    /// Invites operators, proposes charters, looks after webhooks.
    Administrator,
    /// Reads.
    Auditor,
}

/// What can be done at the operators' interface and console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Look at anything, and export it.
    Read,
    /// Close a latch.
    Freeze,
    /// Ask for a transfer between our wallets, or for an address of the float.
    RequestTransfer,
    /// Pay more fee, release deposits, put alarms away.
    TendPayments,
    /// Give an approval.
    Approve,
    /// Stop a payment that is not being signed yet.
    StopPayment,
    /// Propose to open a latch, to release an anchor, or an entry of the address book.
    ProposeInstruction,
    /// Propose the next charter.
    ProposeCharter,
    /// Carry what a quorum has signed to the signers.
    CarryOut,
    /// Invite somebody to enrol a passkey.
    Invite,
    /// Say that somebody else's device is lost; two who say so end it.
    RevokeDevice,
    /// End somebody else's session; one's own anybody ends.
    EndSession,
    /// Send events to webhooks again.
    ReplayEvents,
}

impl Role {
    /// Every role, in the table's order.
    pub const ALL: [Role; 4] = [Role::Approver, Role::Requester, Role::Administrator, Role::Auditor];

    /// The word in the charter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Approver => "approver",
            Role::Requester => "requester",
            Role::Administrator => "administrator",
            Role::Auditor => "auditor",
        }
    }

    /// Whether somebody with this role may do that.
    pub const fn allows(self, action: Action) -> bool {
        match action {
            Action::Read | Action::Freeze => true,
            Action::RequestTransfer | Action::TendPayments => matches!(self, Role::Requester),
            Action::Approve => matches!(self, Role::Approver),
            Action::ProposeInstruction | Action::StopPayment => matches!(self, Role::Approver | Role::Requester),
            Action::ProposeCharter | Action::Invite | Action::ReplayEvents => matches!(self, Role::Administrator),
            Action::CarryOut | Action::RevokeDevice | Action::EndSession => {
                matches!(self, Role::Approver | Role::Administrator)
            }
        }
    }
}

impl Action {
    /// Every action, in the table's order.
    pub const ALL: [Action; 13] = [
        Action::Read,
        Action::Freeze,
        Action::RequestTransfer,
        Action::TendPayments,
        Action::Approve,
        Action::StopPayment,
        Action::ProposeInstruction,
        Action::ProposeCharter,
        Action::CarryOut,
        Action::Invite,
        Action::RevokeDevice,
        Action::EndSession,
        Action::ReplayEvents,
    ];

    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Freeze => "freeze",
            Action::RequestTransfer => "request-transfer",
            Action::TendPayments => "tend-payments",
            Action::Approve => "approve",
            Action::StopPayment => "stop-payment",
            Action::ProposeInstruction => "propose-instruction",
            Action::ProposeCharter => "propose-charter",
            Action::CarryOut => "carry-out",
            Action::Invite => "invite",
            Action::RevokeDevice => "revoke-device",
            Action::EndSession => "end-session",
            Action::ReplayEvents => "replay-events",
        }
    }
}

/// Whether anybody with these roles may do that.
pub fn permitted(roles: &[Role], action: Action) -> bool {
    roles.iter().any(|role| role.allows(action))
}

/// The table as text: a line for each action, a column for each role.
pub fn role_table() -> String {
    let head: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    let mut text = format!("action\t{}\n", head.join("\t"));
    for action in Action::ALL {
        let cells: Vec<_> = Role::ALL.iter().map(|role| if role.allows(action) { "yes" } else { "no" }).collect();
        text.push_str(&format!("{}\t{}\n", action.as_str(), cells.join("\t")));
    }
    text
}
