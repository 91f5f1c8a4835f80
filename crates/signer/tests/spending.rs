//! What a signer counts towards limits, against the plain list of all payments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use common::House;
use policy::{Charter, Question, Spent, Waits, WalletWindow, Window, count_approvals, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use signer::spending::{Reserved, Spending, windows};
use types::{Amount, Digest, Instruction, InstructionId, Moment};

const START: Moment = Moment::from_seconds(1_800_000_000);

/// The plain model: every payment, one by one.
struct Plain(Vec<(InstructionId, Spent)>);

impl Plain {
    fn by_others(&self, id: &InstructionId) -> Vec<Spent> {
        self.0.iter().filter(|(spender, _)| spender != id).map(|(_, spent)| spent.clone()).collect()
    }

    fn sum(&self, counts: impl Fn(&InstructionId, &Spent) -> bool) -> Amount {
        let counted = self.0.iter().filter(|(id, spent)| counts(id, spent)).map(|(_, spent)| spent.amount);
        Amount::checked_sum(counted).unwrap()
    }
}

/// Lets an instruction spend so much more than before, by a transaction that leaves at once.
fn spend(
    spending: &mut Spending,
    before: &mut BTreeMap<InstructionId, Amount>,
    id: &InstructionId,
    spent: &Spent,
    n: u64,
) {
    let all = before.entry(id.clone()).or_insert(Amount::ZERO);
    *all = all.checked_add(spent.amount).unwrap_or(Amount::MAX);
    let transaction = Digest::of(&[&n.to_be_bytes()]);
    let (wallet, tier) = (spent.wallet.clone(), spent.tier.clone());
    spending.released(transaction, &Reserved { id: id.clone(), wallet, tier, amount: *all });
    spending.left(&transaction, spent.at);
}

/// A house for its charter, and withdrawals of alice's under six identifiers.
fn house() -> &'static (House, Vec<Instruction>) {
    static HOUSE: OnceLock<(House, Vec<Instruction>)> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let enrolments: Vec<_> = (1..=3)
            .map(|n| {
                let birth = common::birth(&format!("s{n}"), START);
                signer::enrol::create(&directory.path().join(n.to_string()), birth).unwrap()
            })
            .collect();
        let house = House::new(&enrolments, |charter| charter.tiers.iter_mut().for_each(|tier| tier.quorum.people = 0));
        let asked = (0..6).map(|n| house.withdrawal(&format!("k{n}"), 100 + n * 50, START).0).collect();
        (house, asked)
    })
}

/// Whether a window that ends now sees a payment, as the policy says it.
fn sees(window: Window, now: Moment, spent: &Spent) -> bool {
    spent.at.plus_seconds(i64::try_from(window.seconds).unwrap_or(i64::MAX)) > now
}

/// Windows for the two tiers of withdrawals and for the wallet together: seconds and satoshis.
type Windows = [Vec<(u64, u64)>; 3];

fn charter(of: &Windows) -> Charter {
    let mut charter = house().0.charter.clone();
    charter.instruction_seconds_max = 1 << 40;
    let window = |(seconds, sats): &(u64, u64)| Window { seconds: *seconds, amount_max: Amount::from_sats(*sats) };
    charter.tiers[0].windows = of[0].iter().map(window).collect();
    charter.tiers[1].windows = of[1].iter().map(window).collect();
    let total = |one| WalletWindow { wallet: "hot".parse().unwrap(), window: window(one) };
    charter.totals = of[2].iter().map(total).collect();
    charter
}

fn some_windows() -> impl Strategy<Value = Windows> {
    let seconds = prop_oneof![0u64..50, Just(u64::MAX), Just(1_000_000)];
    let one = move || vec((seconds.clone(), 0u64..6_000), 0..3);
    [one(), one(), one()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_rule_decides_as_if_all_payments_were_looked_at(
        // Gaps in microseconds: mostly whole seconds, so that payments lie on the edges of windows.
        history in vec((0usize..6, 0usize..3, any::<bool>(), prop_oneof![0i64..4, (0i64..4).prop_map(|s| s * 1_000_000)], 1u64..900), 0..40),
        charters in vec(some_windows(), 2),
        later in prop_oneof![0i64..4, (0i64..60).prop_map(|s| s * 1_000_000)],
    ) {
        let (_, asked) = house();
        let (mut spending, mut plain) = (Spending::default(), Plain(Vec::new()));
        let (mut at, mut before) = (START, BTreeMap::new());
        for (n, (who, tier, hot, gap, sats)) in history.into_iter().enumerate() {
            at = Moment::from_micros(at.micros() + gap);
            let spent = Spent {
                at,
                wallet: if hot { "hot" } else { "cold" }.parse().unwrap(),
                tier: ["automatic", "quorum", "gone"][tier].to_owned(),
                amount: Amount::from_sats(sats),
            };
            spend(&mut spending, &mut before, &asked[who].id, &spent, u64::try_from(n).unwrap());
            plain.0.push((asked[who].id.clone(), spent));
        }
        let now = Moment::from_micros(at.micros() + later);
        // The same history, under one charter and then under another that looks back further, or less far.
        for charter in charters.iter().map(charter) {
            for instruction in asked {
                let counted = count_approvals(&charter, instruction, &[], now);
                let question = |spent| Question {
                    charter: &charter,
                    instruction,
                    counted: &counted,
                    customer_signed: true,
                    spent,
                    book: &[],
                    waits: Waits::Elsewhere,
                    fee_share: Amount::from_sats(3),
                    now,
                };
                let parts = spending.by_others(&instruction.id, instruction.wallet().unwrap(), &charter, &[], now);
                let bound = 3 * windows(&charter).count();
                prop_assert!(parts.len() <= bound, "{} parts", parts.len());
                prop_assert_eq!(decide(&question(&parts)), decide(&question(&plain.by_others(&instruction.id))));
                for (wallet, tier, window) in windows(&charter).filter(|(wallet, ..)| Some(*wallet) == instruction.wallet()) {
                    let counts = |spent: &Spent| sees(window, now, spent) && tier.is_none_or(|tier| spent.tier == tier);
                    let parts = Amount::checked_sum(parts.iter().filter(|part| counts(part)).map(|part| part.amount));
                    let others = plain.sum(|id, spent| *id != instruction.id && spent.wallet == *wallet && counts(spent));
                    prop_assert_eq!(parts.unwrap(), others);
                }
            }
            for (wallet, tier, window) in windows(&charter) {
                let expected = plain.sum(|_, spent| {
                    let seen = spent.wallet == *wallet && sees(window, now, spent);
                    // A tier of a name that is gone counts in every one; all of them are tiers of the hot wallet.
                    seen && tier.is_none_or(|tier| spent.tier == tier || spent.tier == "gone")
                });
                prop_assert_eq!(spending.used(&charter, wallet, tier, window, &[], now), expected);
            }
        }
    }
}

#[test]
fn what_is_too_much_to_add_up_is_never_let_through() {
    let (house, asked) = house();
    let mut spending = Spending::default();
    for (amount, id) in [Amount::MAX, Amount::from_sats(1)].into_iter().zip(asked) {
        let spent = Spent { at: START, wallet: "hot".parse().unwrap(), tier: "automatic".to_owned(), amount };
        spend(&mut spending, &mut BTreeMap::new(), &id.id, &spent, amount.units() as u64);
    }
    let (wallet, window) = ("hot".parse().unwrap(), Window { seconds: 10, amount_max: Amount::MAX });
    assert_eq!(spending.used(&house.charter, &wallet, None, window, &[], START), Amount::MAX);
    let parts = spending.by_others(&asked[0].id, &wallet, &house.charter, &[], START);
    assert!(parts.iter().any(|part| part.amount == Amount::MAX), "{parts:?}");
}
