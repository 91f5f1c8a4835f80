//! Who is still needed, in words that name where they can come from.

use std::collections::BTreeSet;

use types::{Moment, Party};

use crate::approvals::Counted;
use crate::charter::{Charter, Quorum};
use crate::roles::Role;

/// What is missing until a quorum is there, such as `needs 1 more from Southtrust or Eastfund`; empty when it is.
///
/// Names the organisations whose approvers could still count: their grants hold, they have not approved yet and did not ask.
pub fn missing(charter: &Charter, requester: Option<&Party>, counted: &Counted, quorum: Quorum, now: Moment) -> String {
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
    if organisations > 1 || (organisations == 1 && !fresh_only) {
        words.push_str(&format!(", of {organisations} more organisation(s)"));
    }
    if !enough {
        words.push_str("; the charter has nobody left who could");
    }
    words
}
