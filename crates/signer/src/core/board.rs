//! The board: every key that a signer ever had, who can open it, and what people did with it.

use signer_wire::{KeyLine, ReplyBody, SlotLine};
use types::{KeyKind, Moment};

use super::Core;
use crate::life::{Ceremony, KeyName};

/// The most ceremonies that the board shows, newest first.
const CEREMONIES_SHOWN: usize = 50;

impl Core {
    /// Tells the board who can open the sealed files.
    pub fn show_slots(&mut self, slots: Vec<SlotLine>) {
        self.slots = slots;
    }

    /// The board: every key that this signer ever had.
    pub fn board(&self, now: Moment) -> ReplyBody {
        let wallet_of = |name: &KeyName| {
            let account: Option<u32> = name.name.parse().ok().filter(|_| name.kind == KeyKind::Signature);
            self.own.iter().find(|(_, own)| Some(**own) == account).map(|(wallet, _)| wallet.clone())
        };
        let lines = self.state.life.keys().map(|(name, entry)| {
            let wallet = wallet_of(name);
            let window = wallet.as_ref().and_then(|wallet| self.open_until(wallet, now));
            let allowed = window.or_else(|| wallet.as_ref().and_then(|wallet| self.allowed(wallet, now)));
            let open = window.map_or(0, |_| now.seconds().saturating_sub(entry.since.seconds()).max(0));
            let account = name.name.parse().ok().filter(|_| name.kind == KeyKind::Signature);
            let device = account.and_then(|account: u32| self.state.life.devices.get(&account));
            KeyLine {
                device: device.map(ToString::to_string).unwrap_or_default(),
                kind: name.kind.to_string(),
                name: name.name.clone(),
                state: entry.state.to_string(),
                since: entry.since.to_string(),
                person: entry.by.person.clone(),
                terminal: entry.by.terminal.clone(),
                cause: entry.by.cause.clone(),
                wallet: wallet.map(|wallet| wallet.to_string()).unwrap_or_default(),
                open: window.is_some(),
                until: allowed.map(|(until, _)| until.to_string()).unwrap_or_default(),
                signatures_left: allowed.map_or(0, |(_, left)| left),
                active_seconds: u64::try_from(entry.active_seconds.saturating_add(open)).unwrap_or(0),
                moves: entry.moves,
            }
        });
        let ceremony = |one: &Ceremony| signer_wire::Ceremony {
            at: one.at.to_string(),
            step: one.step.clone(),
            detail: one.detail.clone(),
            person: one.by.person.clone(),
            terminal: one.by.terminal.clone(),
            cause: one.by.cause.clone(),
        };
        ReplyBody::Board {
            keys: lines.collect(),
            ceremonies: self.state.life.ceremonies.iter().rev().take(CEREMONIES_SHOWN).map(ceremony).collect(),
            slots: self.slots.clone(),
            custodians: self.custodians().iter().map(ToString::to_string).collect(),
        }
    }
}
