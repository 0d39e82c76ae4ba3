//! What the ledger shows of an escrow, and whether that is what was planned.
//!
//! Limits: what it shows is Horizon's word. A farmer whose Horizon shows an escrow that nobody set up keeps data for nothing,
//! until the end of the first period finds nothing to claim. Its auditor, by a Horizon of its own, would have to see it too.

use std::collections::{BTreeMap, BTreeSet};

use hayloft_core::Amount;
use stellar_base::xdr::{SignerKey, Uint256};

use super::plan::{NEEDED, Plan};
use crate::{
    Horizon, HorizonError, Network,
    envelope::Lock,
    horizon::{
        Account, BalanceId, ClaimableBalance, Claimant, Cursor, Deed, HasToken, Operation, Page, Predicate,
        Signer,
    },
};

/// Pages of an escrow's history that are read at once.
const MAX_PAGES: usize = 100;
/// Pages of what an escrow may claim that are read before each period is asked for by its name.
const MAX_LIST_PAGES: usize = 5;

/// What the ledger shows of an escrow that is as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Periods whose balances are still there.
    pub open: BTreeSet<u32>,
}

/// How an escrow differs from its plan. Nothing is signed over it, and nothing kept for it, from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such account.
    #[error("the escrow's account does not exist")]
    Missing,
    /// Others sign for it than were agreed, or their signatures count differently.
    #[error("others can sign for the escrow than was agreed")]
    Signers,
    /// It has less than its reserve.
    #[error("the escrow has less than it should begin with")]
    Reserve,
    /// A period's balance has another amount or other claimants.
    #[error("what is locked for period {0} is not what was agreed")]
    Balance(u32),
}

/// Judges what was found; `balances` holds what is there for each period.
///
/// # Errors
/// The first [`Fault`].
pub(crate) fn judge(
    plan: &Plan,
    network: &Network,
    account: Option<&Account>,
    balances: &[Option<ClaimableBalance>],
) -> Result<Standing, Fault> {
    let account = account.ok_or(Fault::Missing)?;
    let key = |lock| match lock {
        Lock::Key(address) => SignerKey::Ed25519(Uint256(address.0)),
        Lock::Transaction(hash) => SignerKey::PreAuthTx(Uint256(hash)),
    };
    let signer = |lock, weight| Signer { key: key(lock), weight };
    let parties = [plan.owner, plan.farmer, plan.auditor];
    let mut expected: Vec<Signer> = parties.map(|party| signer(Lock::Key(party), 1)).to_vec();
    expected.push(signer(plan.merge_lock(network), NEEDED));
    expected.push(signer(Lock::Key(plan.escrow), 0));
    expected.sort();
    // Its own key counts nothing, whether or not it is listed.
    let mut found = account.signers.clone();
    if !found.iter().any(|one| one.key == key(Lock::Key(plan.escrow))) {
        found.push(signer(Lock::Key(plan.escrow), 0));
        found.sort();
    }
    if found != expected || account.thresholds != [NEEDED; 3] {
        return Err(Fault::Signers);
    }
    if account.balance < plan.reserve() {
        return Err(Fault::Reserve);
    }
    let mut open = BTreeSet::new();
    for (period, found) in (0..plan.periods()).zip(balances) {
        let Some(balance) = found else { continue };
        let mut claimants =
            plan.claimants(period).map(|(who, from)| Claimant { who, when: Predicate::from(from) });
        claimants.sort();
        let amount = plan.amounts.get(period as usize).copied();
        if balance.amount != amount || balance.claimants != claimants {
            return Err(Fault::Balance(period));
        }
        open.insert(period);
    }
    Ok(Standing { open })
}

/// Looks an escrow up.
///
/// # Errors
/// [`HorizonError`] if the ledger cannot be asked; inside, the [`Fault`] of what it shows.
pub async fn look(
    horizon: &Horizon,
    network: &Network,
    plan: &Plan,
) -> Result<Result<Standing, Fault>, HorizonError> {
    let account = horizon.account(plan.escrow).await?;
    let balances = match listed(horizon, plan).await? {
        Some(balances) => balances,
        None => one_by_one(horizon, plan).await?,
    };
    Ok(judge(plan, network, account.as_ref(), &balances))
}

/// The periods' balances out of all that the escrow may claim; none if strangers have made that list too long.
async fn listed(
    horizon: &Horizon,
    plan: &Plan,
) -> Result<Option<Vec<Option<ClaimableBalance>>>, HorizonError> {
    let names: BTreeMap<BalanceId, usize> =
        (0..plan.periods()).zip(0..).map(|(period, at)| (plan.balance(period), at)).collect();
    let mut found = vec![None; plan.amounts.len()];
    let mut page = Page::default();
    for _ in 0..MAX_LIST_PAGES {
        let records = horizon.balances(plan.escrow, &page).await?;
        let next = page.after(&records);
        for record in records {
            if let Some(place) = names.get(&record.id).and_then(|at| found.get_mut(*at)) {
                *place = Some(record);
            }
        }
        match next {
            Some(next) => page = next,
            None => return Ok(Some(found)),
        }
    }
    Ok(None)
}

async fn one_by_one(horizon: &Horizon, plan: &Plan) -> Result<Vec<Option<ClaimableBalance>>, HorizonError> {
    let mut balances = Vec::with_capacity(plan.amounts.len());
    for period in 0..plan.periods() {
        balances.push(horizon.balance(plan.balance(period)).await?);
    }
    Ok(balances)
}

/// What an escrow has paid its farmer, as far as its history was read. Strangers can make that history long by sending
/// it dust: so it is read once, and gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payouts {
    paid: Amount,
    place: Cursor,
}

impl Payouts {
    /// Reads on to the end.
    ///
    /// # Errors
    /// [`HorizonError`]; what was read stays. A history that goes on and on counts as rubbish each time, and goes on.
    pub async fn catch_up(&mut self, horizon: &Horizon, plan: &Plan) -> Result<Amount, HorizonError> {
        for _ in 0..MAX_PAGES {
            let page = Page { cursor: self.place.clone(), ..Page::default() };
            let records = horizon.payments(plan.escrow, &page).await?;
            self.paid.0 =
                records.iter().map(|record| to_farmer(plan, record)).fold(self.paid.0, u64::saturating_add);
            if let Some(last) = records.last() {
                self.place = Cursor::After(last.token().to_owned());
            }
            if page.after(&records).is_none() {
                return Ok(self.paid);
            }
        }
        Err(HorizonError::Rubbish { what: "history with an end" })
    }
}

fn to_farmer(plan: &Plan, record: &Operation) -> u64 {
    match &record.deed {
        Deed::Paid { from, to, amount } if *from == plan.escrow && *to == plan.farmer => amount.0,
        _ => 0,
    }
}
