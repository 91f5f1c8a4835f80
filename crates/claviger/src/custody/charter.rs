//! The next charter: checked here, taken by every signer, then written in place of the old one. Each part can be repeated.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use policy::{Charter, verify_succession};
use signer_client::CallError;
use signer_wire::{ReplyBody, RequestBody};
use store::{CharterRow, Move, TransactionState};
use types::{Approval, Moment};

use super::{Custody, blocking};
use crate::problem::Problem;

/// What became of a new charter.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// Signers that hold it now.
    pub signers: Vec<String>,
}

impl Custody {
    /// Has every signer take the next charter, and takes it too. Payments that signers are being asked about now would be held up by
    /// it, since signers sign under the charter in force only: they go first, unless `force` says otherwise.
    pub async fn adopt_charter(
        &self,
        text: &str,
        approvals: &[Approval],
        force: bool,
        actor: &str,
        now: Moment,
    ) -> Result<Adoption, Problem> {
        let next =
            Charter::from_bytes(text.as_bytes()).map_err(|error| Problem::invalid("charter", error.to_string()))?;
        verify_succession(&self.charter, &next, approvals, now)
            .map_err(|error| Problem::new(403, "charter-succession", error.to_string()))?;
        let asked = self.store.transactions_in(TransactionState::Generated).await?;
        if !asked.is_empty() && !force {
            let txids: Vec<_> = asked.into_iter().map(|row| row.txid).collect();
            let detail = format!("signers are being asked about {}; let them finish, or force it", txids.join(", "));
            return Err(Problem::new(409, "payments-under-way", detail));
        }
        let (signers, failed) = blocking(|| self.offer(&next, text, approvals));
        // Kept from the first offer on: a crash later leaves it to be carried to signers without a network all the same.
        let wires: Vec<_> = approvals.iter().map(crate::wire::approval).collect();
        let kept = CharterRow {
            digest: next.digest(),
            version: next.version,
            text: text.to_owned(),
            approvals: serde_json::to_string(&wires)
                .map_err(|error| Problem::new(500, "charter", error.to_string()))?,
            created: now,
        };
        let step = Move::new(now).run(kept.put()).audit(
            actor,
            "charter.offered",
            &next.digest().to_string(),
            format!("version {}; held by {}; not by: {}", next.version, signers.join(", "), failed.join("; ")),
        );
        self.store.commit(step).await?;
        if !failed.is_empty() {
            let detail = format!("not every signer has taken it, send it again: {}", failed.join("; "));
            return Err(Problem::unavailable("signers", detail));
        }
        // A crash right here leaves signers with the new charter and us with the old one: the same request again ends it.
        replace(&self.config.charter, text.as_bytes())
            .map_err(|error| Problem::unavailable("storage", format!("the charter's file: {error}; send it again")))?;
        let step = Move::new(now).audit(actor, "charter.adopted", &next.digest().to_string(), next.version.to_string());
        self.store.commit(step).await?;
        self.reload.notify_one();
        Ok(Adoption { version: next.version, digest: next.digest().to_string(), signers })
    }

    /// Names of signers that hold it now, and what the others said.
    fn offer(&self, next: &Charter, text: &str, approvals: &[Approval]) -> (Vec<String>, Vec<String>) {
        let (mut holding, mut failed) = (vec![], vec![]);
        let digest = next.digest().to_string();
        let approvals: Vec<_> = approvals.iter().map(crate::wire::approval).collect();
        for (client, config) in self.signers().iter_mut().zip(&self.config.signers) {
            let mut ask = || -> Result<(), CallError> {
                if let ReplyBody::Hello { charter_digest, .. } = client.call(RequestBody::Hello)?
                    && charter_digest == digest
                {
                    return Ok(());
                }
                let question = RequestBody::Adopt { charter: text.to_owned(), approvals: approvals.clone() };
                client.call(question).map(|_| ())
            };
            match ask() {
                Ok(()) => holding.push(config.id.clone()),
                Err(error) => failed.push(format!("{}: {}", config.id, super::explain(error))),
            }
        }
        (holding, failed)
    }
}

/// Writes a file so that after a crash it is either the old one or the new one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("next");
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
