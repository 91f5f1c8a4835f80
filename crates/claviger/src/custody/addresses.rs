//! Addresses: given out once each, found again in every block.

use chains::bitcoin::Branch;
use store::{AddressRow, CommitError, Move, Statement};
use types::WalletId;

use super::{Custody, StepError, now};
use crate::problem::Problem;

/// Rows of one read while the index is loaded.
const PAGE: u32 = 20_000;

impl Custody {
    pub(super) async fn load_index(&self) -> Result<(), StepError> {
        let next = self.store.next_address().await?;
        self.index().reserve(usize::try_from(next).unwrap_or_default());
        let mut from = 0;
        loop {
            let rows = self.store.addresses_from(from, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.id) else { return Ok(()) };
            let mut index = self.index();
            rows.iter().for_each(|row| index.insert(&row.script, row.id));
            from = last + 1;
        }
    }

    /// The address of ours that an output pays, compared script by script.
    pub(super) async fn our_address(&self, script: &[u8]) -> Result<Option<AddressRow>, StepError> {
        let candidates: Vec<u32> = self.index().candidates(script).collect();
        for id in candidates {
            if let Some(row) = self.store.address(id).await?
                && row.script == script
            {
                // A row that was rewritten would credit coins that our keys cannot spend.
                let branch = if row.branch == 1 { Branch::Change } else { Branch::Receive };
                let own = self.derive_row(row.id, &row.wallet, branch, row.index, "", "")?;
                if own.script != script || own.address != row.address {
                    return Err(self.address_differs(&row.address));
                }
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn address_differs(&self, address: &str) -> StepError {
        StepError::Waiting {
            code: "address-differs",
            subject: address.to_owned(),
            message: "the database has an address under our name that our wallet does not have: somebody wrote into it"
                .to_owned(),
        }
    }

    /// Checks that an address is where it is said to be in our wallet, before anyone is told to pay to it.
    pub fn check_address(&self, wallet: &str, index: u32, address: &str) -> Result<(), Problem> {
        let id = wallet.parse().ok();
        let derived = id.and_then(|id| self.wallet(&id).ok()?.derive(Branch::Receive, index).ok());
        if derived.is_some_and(|derived| derived.address == address) {
            return Ok(());
        }
        eprintln!("claviger: address-differs {address}: not in wallet {wallet} at {index}");
        let detail =
            "the database has another address than our wallet; nothing is shown until people have looked at it";
        Err(Problem::new(500, "address-differs", detail))
    }

    /// A row for an address, derived here and now from the descriptor.
    pub(super) fn derive_row(
        &self,
        id: u32,
        wallet: &WalletId,
        branch: Branch,
        index: u32,
        owner: &str,
        label: &str,
    ) -> Result<AddressRow, StepError> {
        let derived =
            self.wallet(wallet)?.derive(branch, index).map_err(|error| StepError::Corrupt(error.to_string()))?;
        Ok(AddressRow {
            id,
            wallet: wallet.clone(),
            branch: branch.number(),
            index,
            address: derived.address,
            script: derived.script_pubkey.into_bytes(),
            owner: owner.to_owned(),
            label: label.to_owned(),
            created: now(),
        })
    }

    pub(super) fn know_address(&self, row: &AddressRow) {
        self.index().insert(&row.script, row.id);
    }

    /// A fresh receiving address: deposits to it are credited to `owner`. Never given out again.
    pub async fn new_address(
        &self,
        wallet: &WalletId,
        owner: &str,
        label: &str,
        remember: impl Fn(&AddressRow) -> Option<Statement>,
    ) -> Result<AddressRow, Problem> {
        if label.chars().count() > 100 {
            return Err(Problem::invalid("label-too-long", "a label has at most 100 characters"));
        }
        // Two callers at once may reach for the same index; one of them takes the next.
        for _ in 0..20 {
            let (index, _) = self.store.wallet_indexes(wallet).await?;
            let id = self.store.next_address().await?;
            let row = self.derive_row(id, wallet, Branch::Receive, index, owner, label);
            let row = row.map_err(|error| Problem::new(500, "wallet", error.to_string()))?;
            let mut step = Move::new(row.created)
                .run(Statement::take_receive_index(wallet, index))
                .run(row.insert())
                .audit(owner, "address.created", &row.address, format!("wallet {wallet}, index {index}"));
            step.statements.extend(remember(&row));
            match self.store.commit(step).await {
                Ok(_) => {
                    self.know_address(&row);
                    return Ok(row);
                }
                Err(CommitError::Stale | CommitError::Constraint) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable("busy", "too many addresses are being made at once; send the same request again"))
    }
}
