//! What others may ask about money: one's account, taking note of an escrow, signing a settlement, and the revisions that it
//! counts.
//!
//! Invariants: an escrow is taken note of only when the ledger shows it as planned, between the right parties, and its owner's
//! account has signed that it pays for this contract; a settlement is signed only if it is, to the last byte, what these
//! records say, or pays the farmer that signs what it is glad of. An auditor's say of audits what receipts bear out that were
//! verified; a farmer's say what the auditor told it, and count only once that is gone. Nothing is signed in the owner's name
//! here.
//!
//! Who binds an escrow to a contract: W alone, by its assignment. So neither a farmer nor a stranger can have one pay for a
//! contract of their own making, whose books then say that all is owed; and none moves from the contract that was told first.
//! An owner can assign one to two contracts, and tell the auditor of the worthless one: therefore a farmer takes note only of
//! what its auditor has taken note of for the same contract, as it tells the auditor itself.
//!
//! Which escrows may pay for a contract: the one that its terms name, and any other that W assigns to it once it is agreed on,
//! as a farmer's own contracts or an auditor's own books say. Escrows only ever add up: none is replaced, and each owes what
//! the books say for its own periods. One that is too small, or pays once more for what was settled, takes nothing from a
//! farmer and costs its owner alone.

use std::collections::{BTreeMap, BTreeSet};

use hayloft_core::{
    Amount, ContractId, DeviceId, Signature,
    auditor::Judgement,
    contract::{Revision, SignedRevision, Terms},
};
use hayloft_net::{
    NetError,
    limits::{PLAN_BYTES, REVISIONS_PER_PAGE, SHARDS_PER_PAGE, TRANSACTION_BYTES, VOUCHERS_PER_PAGE},
    messages::ShownVoucher,
};
use hayloft_payments::{
    Address, Outbox, Wallet,
    envelope::Signed,
    escrow::{Disagreement, Fault, Opinion, Plan, Takes, check, check_assigned, last_claim, look},
    wallet::{EscrowState, Role, decode},
};
use hayloft_store::{
    auditor::VERDICTS_KEPT,
    funding::{Funding, Span},
    outbox::EscrowRow,
};

use super::{
    Money, MoneyError,
    account::{Account, Periods},
    evidence::Unproved,
    settle::{LAST, LATE, is_left},
    setup::paid_until,
};
use crate::owner::lock;

/// Escrows of one owner that are taken note of, those that are over not counted.
const ESCROWS_PER_OWNER: usize = 1024;
/// Escrows of all owners.
const ESCROWS: usize = 65_536;
/// The longest and the shortest grace, in settlement periods.
const GRACE_PERIODS: std::ops::RangeInclusive<u64> = 1..=64;

/// So long a contract's farmer may take to show its revisions.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const NO_AUDITOR: &str = "a contract with a price names an auditor";

/// Why something about money is refused to another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// This node's own affair.
    #[error(transparent)]
    Own(#[from] MoneyError),
    /// No account.
    #[error("this node's account is not on the ledger yet")]
    NoAccount,
    /// Not a plan.
    #[error("the escrow's plan is none")]
    NoPlan,
    /// Not the parties of the contract, or not its periods.
    #[error("the escrow's plan does not fit the contract: {0}")]
    WrongPlan(&'static str),
    /// Another party could not be asked, or takes no note itself.
    #[error("the contract's {whom} did not bear the escrow out: {error}")]
    NotBorneOut {
        /// Which one.
        whom: &'static str,
        /// What it said.
        error: NetError,
    },
    /// The ledger shows something else.
    #[error("the ledger does not show the escrow as it is planned: {0}")]
    Fault(#[from] Fault),
    /// Too many.
    #[error("this node has taken note of as many escrows as it may")]
    TooMany,
    /// No such contract.
    #[error("this node knows of no escrow for that contract")]
    Unknown,
    /// Nothing that is understood.
    #[error("the settlement is no transaction that this node understands")]
    NoSettlement,
    /// What was judged is not borne out.
    #[error("what this node's books say of epoch {epoch} counts for nothing: {why}")]
    Unproved {
        /// Whose verdict.
        epoch: u64,
        /// Why.
        why: Unproved,
    },
    /// Who judges has not been silent for long enough.
    #[error(
        "the contract's auditor does not answer, and is waited for until the last quarter of the period's grace"
    )]
    AuditorAwaited,
    /// Another opinion.
    #[error(transparent)]
    Disagreed(#[from] Disagreement),
    /// No escrow.
    #[error("no escrow that this node has taken note of pays for the contract")]
    NotFunded,
    /// Less is paid for than is asked.
    #[error("the escrow does not pay for as much, or for as long")]
    TooLittle,
}

/// One who asks, as the contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// A device of the owner's.
    Owner,
    /// The farmer.
    Farmer,
}

impl Money {
    /// The account that this node is paid at and signs with. A farmer's must be on the ledger, or it could not be paid.
    pub(crate) async fn own_account(&self, farms: bool) -> Result<Address, Refused> {
        let key = self.payout_key()?;
        let address = Address::of(&key);
        if farms {
            let outbox = self.outbox().await?;
            let account = outbox.horizon().account(address).await.map_err(MoneyError::from)?;
            if account.is_none() {
                self.inner.wake.notify_one();
                return Err(Refused::NoAccount);
            }
        }
        Ok(address)
    }

    /// Takes note of an escrow for a contract that names this node, as `from` told it.
    pub(crate) async fn take_note(
        &self,
        role: Role,
        from: DeviceId,
        terms: &Terms,
        plan: &[u8],
        assigned: &Signature,
    ) -> Result<(), Refused> {
        let encoded = plan;
        let plan = decode(plan).filter(|_| plan.len() <= PLAN_BYTES).ok_or(Refused::NoPlan)?;
        let own = Address::of(&self.payout_key()?);
        let wrong = |holds: bool, what| if holds { Ok(()) } else { Err(Refused::WrongPlan(what)) };
        match role {
            Role::Farmer => wrong(plan.farmer == own, "it pays another account")?,
            Role::Auditor => wrong(plan.auditor == own, "it names another auditor")?,
            Role::Owner => return Err(Refused::Unknown),
        }
        wrong(Periods::of(&plan, terms).is_some(), "its periods are not the contract's")?;
        let grace = plan.grace_seconds / plan.period_seconds.max(1);
        wrong(GRACE_PERIODS.contains(&grace), "its grace is too short or too long")?;
        let epochs = plan.merges().seconds_since(plan.start) / u64::from(terms.epoch_seconds.max(1));
        wrong(epochs < VERDICTS_KEPT, "it lasts longer than what was judged is kept")?;
        let is_assigned = check_assigned(&self.inner.network, terms.id(), &plan, assigned).is_ok();
        wrong(is_assigned, "its owner's account has not assigned it to this contract")?;
        let known = self.inner.store.funds().list(None).await.map_err(MoneyError::from)?;
        let of_contract: Vec<&Funding> = known.iter().filter(|known| known.contract == terms.id()).collect();
        if of_contract.iter().any(|known| known.escrow.account == plan.escrow.0) {
            return Ok(());
        }
        let is_free = known.iter().all(|known| known.escrow.account != plan.escrow.0);
        wrong(is_free, "it pays for another contract")?;
        let is_first = terms.escrow == Some(plan.escrow.0) && plan.start == terms.start;
        let may_pay = is_first || !of_contract.is_empty() || self.is_agreed(role, terms.id()).await?;
        wrong(may_pay, "the contract names another escrow")?;
        let live = |known: &&Funding| known.escrow.state != EscrowState::Over;
        let of_owner = known.iter().filter(live).filter(|known| known.terms.owner == terms.owner).count();
        if of_owner >= ESCROWS_PER_OWNER || known.len() >= ESCROWS {
            return Err(Refused::TooMany);
        }
        self.check_other(role, from, terms, &plan).await?;
        let outbox = self.outbox().await?;
        let stands = self.stands(&outbox, &plan).await;
        if let Err(Refused::Fault(_)) = stands {
            // Perhaps the ledger began anew, and this node has not noticed yet.
            self.inner.wake.notify_one();
        }
        stands?;
        if role == Role::Farmer {
            let auditor = terms.auditor.ok_or(Refused::WrongPlan(NO_AUDITOR))?;
            let told = self.tell_funding(auditor, terms, &plan, *assigned).await;
            told.map_err(|error| Refused::NotBorneOut { whom: "auditor", error })?;
        }
        self.inner.store.funds().keep(plan.escrow.0, terms).await.map_err(MoneyError::from)?;
        crash_point!(FundingNoted);
        let row =
            EscrowRow { account: plan.escrow.0, plan: encoded.to_vec(), role, state: EscrowState::Seen };
        outbox.rows().keep_escrow(&row).await.map_err(MoneyError::from)?;
        crash_point!(EscrowNoted);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// The third party's account is what it says itself: the owner could name one of its own. A farmer that tells of an escrow
    /// says so by telling.
    async fn check_other(
        &self,
        role: Role,
        from: DeviceId,
        terms: &Terms,
        plan: &Plan,
    ) -> Result<(), Refused> {
        let (whom, device, account, wrong) = match role {
            Role::Owner => return Err(Refused::Unknown),
            Role::Auditor if from == terms.farmer => return Ok(()),
            Role::Auditor => {
                ("farmer", terms.farmer, plan.farmer, "it pays another account than the farmer's")
            }
            Role::Farmer => {
                let auditor = terms.auditor.ok_or(Refused::WrongPlan(NO_AUDITOR))?;
                ("auditor", auditor, plan.auditor, "it names another auditor")
            }
        };
        let said = self.ask_account(device).await;
        let said = said.map_err(|error| Refused::NotBorneOut { whom, error })?;
        if said == account.0 { Ok(()) } else { Err(Refused::WrongPlan(wrong)) }
    }

    /// Whether this node's own books have the contract, with or without an escrow.
    async fn is_agreed(&self, role: Role, contract: ContractId) -> Result<bool, MoneyError> {
        match role {
            Role::Owner => Ok(false),
            Role::Farmer => {
                let kept = self.inner.store.farmer().contract(contract).await;
                Ok(kept.map_err(|error| MoneyError::Books(error.to_string()))?.is_some())
            }
            Role::Auditor => {
                let followed = self.inner.store.auditor().followed(contract).await;
                Ok(followed.map_err(|error| MoneyError::Books(error.to_string()))?.is_some())
            }
        }
    }

    /// Whether the ledger shows all of it that is not over: what is gone already would not be paid. Whoever is told late may
    /// find that what was over was settled or came back.
    async fn stands(&self, outbox: &Outbox, plan: &Plan) -> Result<(), Refused> {
        let standing = look(outbox.horizon(), outbox.network(), plan).await.map_err(MoneyError::from)??;
        let now = self.inner.clock.now();
        let mut ahead = (0..plan.periods()).filter(|period| plan.end(*period) > now);
        let gone = ahead.find(|period| !standing.open.contains(period));
        gone.map_or(Ok(()), |period| Err(Fault::Balance(period).into()))
    }

    /// Whether an escrow pays for a contract that is about to be agreed on.
    pub(crate) async fn pays_for(&self, terms: &Terms) -> Result<(), Refused> {
        let funded = self.plans(terms.id()).await?;
        if funded.is_empty() { Err(Refused::NotFunded) } else { Ok(()) }
    }

    /// The plans of a contract's escrows that are not over, by when they begin.
    pub(crate) async fn plans(&self, contract: ContractId) -> Result<Vec<Plan>, MoneyError> {
        self.plans_where(contract, |known| known.escrow.state != EscrowState::Over).await
    }

    /// The plans of all escrows that are known to have paid for a contract.
    pub(super) async fn plans_ever(&self, contract: ContractId) -> Result<Vec<Plan>, MoneyError> {
        self.plans_where(contract, |_| true).await
    }

    async fn plans_where(
        &self,
        contract: ContractId,
        wanted: impl Fn(&Funding) -> bool,
    ) -> Result<Vec<Plan>, MoneyError> {
        let known = self.inner.store.funds().list(Some(contract)).await?;
        let wanted = known.iter().filter(|known| wanted(known));
        let mut plans: Vec<Plan> = wanted.filter_map(|known| decode(&known.escrow.plan)).collect();
        plans.sort_by_key(|plan| plan.start);
        Ok(plans)
    }

    /// Whether a contract's escrows pay for all that a revision would have kept, from now on to its end without a gap.
    pub(crate) async fn pays_for_revision(&self, terms: &Terms, revision: &Revision) -> Result<(), Refused> {
        let mut plans = self.plans(revision.contract).await?;
        let broken = lock(&self.inner.broken).clone();
        plans.retain(|plan| !broken.contains(&plan.escrow));
        let from = self.inner.clock.now().max(terms.start);
        let until = paid_until(&plans, terms.into(), revision.capacity_bytes, from);
        if until.is_some_and(|until| revision.end <= until) { Ok(()) } else { Err(Refused::TooLittle) }
    }

    /// Signs a settlement that a party to the contract made, if these books say the same: as its auditor, or as its farmer for
    /// its owner when the auditor is gone.
    pub(crate) async fn cosign(
        &self,
        contract: ContractId,
        (from, party): (DeviceId, Party),
        newest: u64,
        settlement: &[u8],
        vouchers: &[ShownVoucher],
    ) -> Result<Vec<u8>, Refused> {
        if vouchers.len() > VOUCHERS_PER_PAGE {
            return Err(Refused::NoSettlement);
        }
        let proposed = Signed::decode(settlement).ok();
        let proposed =
            proposed.filter(|signed| settlement.len() <= TRANSACTION_BYTES && signed.signatures() == 0);
        let proposed = proposed.ok_or(Refused::NoSettlement)?;
        let by = proposed.draft().steps.first().and_then(|step| step.by).ok_or(Refused::NoSettlement)?;
        let known = self.inner.store.funds().list(Some(contract)).await.map_err(MoneyError::from)?;
        let funding = known
            .into_iter()
            .find(|known| known.escrow.account == by.0 && known.escrow.role != Role::Owner)
            .ok_or(Refused::Unknown)?;
        let plan = decode(&funding.escrow.plan).ok_or(Refused::NoPlan)?;
        let periods = Periods::of(&plan, &funding.terms).ok_or(Refused::NoPlan)?;
        let asker = match party {
            Party::Owner => plan.owner,
            Party::Farmer => plan.farmer,
        };
        let outbox = self.outbox().await?;
        let (spans, verdicts, takes) = match funding.escrow.role {
            Role::Farmer => {
                let through = last_claim(&plan, proposed.draft()).ok_or(Disagreement::ForeignClaim)?;
                self.records_as_farmer(&funding, &plan, through).await?
            }
            Role::Owner | Role::Auditor => {
                // An owner's device answers no questions; what it knows of, its farmer and its auditor were told.
                let whom = if party == Party::Farmer { from } else { funding.terms.farmer };
                let spans = self.spans_shown(&funding, whom, newest).await?;
                (spans, self.proved_verdicts(contract).await?, Takes::Exactly)
            }
        };
        // Nobody is asked from here on but the ledger: one contract's parties cannot have others wait.
        let _one_at_a_time = self.inner.signing.lock().await;
        self.keep_vouchers(&funding.terms, vouchers).await?;
        let egress = self.egress(&funding.terms).await?;
        let account = Account { terms: &funding.terms, spans: &spans, verdicts: &verdicts, egress: &egress };
        let opinion = Opinion { takes, ..self.opinion(&outbox, &plan, periods, &account).await? };
        check(&plan, proposed.draft(), asker, &opinion)?;
        let wallet = Wallet::new(self.payout_key()?, outbox);
        let signed = wallet.sign(proposed).to_bytes();
        crash_point!(SettlementSigned);
        Ok(signed)
    }

    /// What a farmer has signed, and what its auditor says; what it said, if it gives no answer any more.
    async fn records_as_farmer(
        &self,
        funding: &Funding,
        plan: &Plan,
        through: u32,
    ) -> Result<(Vec<Span>, Vec<Judgement>, Takes), Refused> {
        let auditor = funding.terms.auditor.ok_or(Refused::WrongPlan(NO_AUDITOR))?;
        let funds = self.inner.store.funds();
        let (verdicts, takes) = match self.hear_verdicts(auditor, &funding.terms).await {
            Ok(verdicts) => (verdicts, Takes::More),
            Err(MoneyError::Net(_)) => {
                let now = self.inner.clock.now();
                if !is_left(LATE, plan, through, now) {
                    return Err(Refused::AuditorAwaited);
                }
                // Its owner may have heard less: then that is what there is to be had.
                let takes = if is_left(LAST, plan, through, now) { Takes::Anything } else { Takes::More };
                (funds.heard(funding.contract).await.map_err(MoneyError::from)?, takes)
            }
            Err(error) => return Err(error.into()),
        };
        Ok((funds.spans(funding.contract).await.map_err(MoneyError::from)?, verdicts, takes))
    }

    /// Revisions up to one, and vouchers, as a party to the contract shows them.
    async fn spans_shown(
        &self,
        funding: &Funding,
        whom: DeviceId,
        newest: u64,
    ) -> Result<Vec<Span>, MoneyError> {
        let asking = async {
            let spans = self.spans(funding.contract, &funding.terms, whom, Some(newest)).await?;
            // A proposal shows the newest vouchers only: who signed for an older period may have hidden that one behind them.
            let learning =
                tokio::time::timeout(PATIENCE / 2, self.learn_vouchers(&funding.terms, whom)).await;
            if let Err(error) = learning.unwrap_or_else(|_| Err(NetError::Silent.into())) {
                tracing::debug!(%error, "no vouchers were shown; those that are known here count");
            }
            Ok(spans)
        };
        let spans = tokio::time::timeout(PATIENCE, asking).await;
        spans.unwrap_or_else(|_| Err(MoneyError::from(NetError::Silent)))
    }

    async fn opinion(
        &self,
        outbox: &Outbox,
        plan: &Plan,
        periods: Periods,
        account: &Account<'_>,
    ) -> Result<Opinion, Refused> {
        let now = self.inner.clock.now();
        let standing = look(outbox.horizon(), outbox.network(), plan).await.map_err(MoneyError::from)??;
        let mut owed: BTreeMap<u32, Amount> = BTreeMap::new();
        for period in account.settles(plan, periods, now).map_or(0..0, |last| 0..last + 1) {
            owed.insert(period, account.owed(periods, period).map_err(MoneyError::from)?);
        }
        let paid = self.paid(outbox, plan).await?;
        let own = Address::of(&self.payout_key()?);
        Ok(Opinion { own, open: standing.open, owed, paid, takes: Takes::Exactly, now })
    }

    /// Accounts of the escrows that this node pays into and that are not over.
    pub(crate) async fn own_escrows(&self) -> Result<Vec<[u8; 32]>, MoneyError> {
        let known = self.inner.store.funds().list(None).await?.into_iter().map(|known| known.escrow);
        let own = known.filter(|row| row.role == Role::Owner && row.state != EscrowState::Over);
        Ok(own.map(|row| row.account).collect())
    }

    /// Contracts that this node pays for by an escrow which their terms do not name, and which is not over.
    pub(crate) async fn further_paid(&self) -> Result<BTreeSet<ContractId>, MoneyError> {
        let known = self.inner.store.funds().list(None).await?.into_iter();
        let further = known.filter(|known| {
            known.escrow.role == Role::Owner
                && known.escrow.state != EscrowState::Over
                && known.terms.escrow != Some(known.escrow.account)
        });
        Ok(further.map(|known| known.contract).collect())
    }

    /// The terms of a contract that an escrow is known for.
    pub(crate) async fn terms_of(&self, contract: ContractId) -> Result<Terms, Refused> {
        let known = self.inner.store.funds().list(Some(contract)).await.map_err(MoneyError::from)?;
        known.into_iter().next().map(|known| known.terms).ok_or(Refused::Unknown)
    }

    /// A page of a contract's revisions, and whether more follow.
    pub(crate) async fn history_of(
        &self,
        contract: ContractId,
        from: u64,
    ) -> Result<(Vec<SignedRevision>, bool), Refused> {
        let most = REVISIONS_PER_PAGE as u32 + 1;
        let found = self.inner.store.funds().revisions(contract, from, most).await;
        let mut revisions = found.map_err(MoneyError::from)?;
        let mut named = 0;
        let fits = revisions.iter().take_while(|signed| {
            named += signed.revision.added.len() + signed.revision.removed.len();
            named <= 2 * SHARDS_PER_PAGE
        });
        let fits = fits.count().min(REVISIONS_PER_PAGE);
        let more = fits < revisions.len();
        revisions.truncate(fits);
        Ok((revisions, more))
    }
}

/// When the last period of a plan ends.
pub(crate) fn last_end(plan: &Plan) -> hayloft_core::Timestamp {
    plan.end(plan.periods().saturating_sub(1))
}
