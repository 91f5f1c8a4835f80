//! Who is still needed, in words that name where they can come from.

use std::collections::BTreeSet;

use types::{Moment, Party};

use crate::approvals::Counted;
use crate::charter::{Charter, Quorum, Tier};
use crate::roles::Role;

/// What is missing until a quorum is there, such as `needs 1 more from Southtrust or Eastfund`; empty when it is.
///
/// Names the organisations whose approvers could still count: their grants hold, they have not approved yet and did not ask.
pub fn missing(charter: &Charter, requester: Option<&Party>, counted: &Counted, quorum: Quorum, now: Moment) -> String {
    words(charter, requester, counted, (quorum, false), now)
}

/// The same for a tier. Where it asks for keys that cannot leave their device, it names those whose approval does not count in
/// it for that reason; they may approve again with another key.
pub fn missing_in_tier(
    charter: &Charter,
    requester: Option<&Party>,
    counted: &Counted,
    tier: &Tier,
    now: Moment,
) -> String {
    let here = counted.in_tier(charter, tier);
    let mut words = words(charter, requester, &here, (tier.quorum, tier.device_bound), now);
    if !words.is_empty() {
        for person in counted.people.iter().filter(|person| !here.people.contains(person)) {
            words.push_str(&format!("; the approval of {person} does not count here: its key can leave its device"));
        }
    }
    words
}

fn words(
    charter: &Charter,
    requester: Option<&Party>,
    counted: &Counted,
    (quorum, device_bound): (Quorum, bool),
    now: Moment,
) -> String {
    if counted.meets(quorum) {
        return String::new();
    }
    let short = |wanted: u32, there: usize| usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(there);
    let organisations = short(quorum.organisations, counted.organisations.len());
    let people = short(quorum.people, counted.people.len()).max(organisations);
    // Where everybody who is missing has to be of an organisation that is not there yet, the others' approvals help nobody.
    let fresh_only = organisations >= people;
    let could = charter.operators.iter().filter(|operator| {
        operator.is(Role::Approver)
            && operator.holds(now)
            && !counted.people.contains(&operator.id)
            && (!device_bound || operator.has_bound_key())
            && requester != Some(&Party::Operator(operator.id.clone()))
            && !(fresh_only && counted.organisations.contains(&operator.organisation))
    });
    let (mut left, mut names) = (0, BTreeSet::new());
    for operator in could {
        left += 1;
        names.insert(operator.organisation.as_str());
    }
    let enough = if fresh_only { names.len() >= people } else { left >= people };
    let names: Vec<&str> = names.into_iter().collect();
    let mut words = format!("needs {people} more");
    if !names.is_empty() {
        words.push_str(&format!(" from {}", names.join(" or ")));
    }
    if device_bound {
        words.push_str(" with a key that cannot leave its device");
    }
    if organisations > 1 || (organisations == 1 && !fresh_only) {
        words.push_str(&format!(", of {organisations} more organisation(s)"));
    }
    if !enough {
        words.push_str("; the charter has nobody left who could");
    }
    words
}
