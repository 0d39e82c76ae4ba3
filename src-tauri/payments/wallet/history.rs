//! What happened to a wallet, and what each payment was for; as rows that a spreadsheet can read too.

use hayloft_core::{Amount, Timestamp};
use hayloft_store::outbox::{EscrowState, Role};

use crate::{
    Address,
    escrow::Plan,
    horizon::{Deed, Operation},
    lumens,
    outbox::Purpose,
};

/// What a payment was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The account was given its first lumens.
    Funded,
    /// Sent by hand.
    Sent {
        /// With this memo.
        memo: Option<String>,
    },
    /// From somebody, for reasons of theirs.
    Received,
    /// Into an escrow's reserve.
    Escrow,
    /// Out of an escrow: earned by keeping data.
    Earned,
    /// Out of an escrow: what was not owed came back.
    Returned,
    /// An escrow ended, and its reserve came back.
    Closed,
    /// Not made by this node: another device or program has this key too.
    Elsewhere,
}

impl Kind {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Funded => "funded",
            Self::Sent { .. } => "sent",
            Self::Received => "received",
            Self::Escrow => "escrow",
            Self::Earned => "earned",
            Self::Returned => "returned",
            Self::Closed => "closed",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// One payment to or from a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What for.
    pub kind: Kind,
    /// Whether the wallet got it.
    pub incoming: bool,
    /// How much; none where the ledger does not say.
    pub amount: Option<Amount>,
    /// Who is on the other side.
    pub with: Address,
    /// The transaction.
    pub transaction: [u8; 32],
}

/// What a record says of this wallet; none if it does not concern its lumens.
pub(super) fn entry(
    own: Address,
    record: &Operation,
    purpose: Option<Purpose>,
    escrows: &[(Plan, Role, EscrowState)],
) -> Option<Entry> {
    let (from, to, amount) = match &record.deed {
        Deed::Created { account, balance } => (record.source, *account, Some(*balance)),
        Deed::Paid { from, to, amount } => (*from, *to, Some(*amount)),
        Deed::Merged { account, into } => (*account, *into, None),
        Deed::Claimed { .. } | Deed::Other(_) => return None,
    };
    let incoming = to == own;
    if !incoming && from != own {
        return None;
    }
    let plan = escrows.iter().find(|(plan, ..)| plan.escrow == from).map(|(plan, ..)| plan);
    let kind = match (&record.deed, plan, purpose) {
        (Deed::Merged { .. }, Some(_), _) if incoming => Kind::Closed,
        (_, Some(plan), _) if incoming && plan.farmer == own => Kind::Earned,
        (_, Some(_), _) if incoming => Kind::Returned,
        (Deed::Created { .. }, ..) if incoming => Kind::Funded,
        _ if incoming => Kind::Received,
        (_, _, Some(Purpose::Setup { .. })) => Kind::Escrow,
        (_, _, Some(Purpose::Sent { memo, .. })) => Kind::Sent { memo },
        _ => Kind::Elsewhere,
    };
    let with = if incoming { from } else { to };
    Some(Entry { at: record.closed, kind, incoming, amount, with, transaction: record.transaction })
}

/// The entries as comma-separated values (RFC 4180), with a line of titles.
pub fn csv(entries: &[Entry]) -> String {
    let mut text = "time,kind,lumens,with,memo,transaction\r\n".to_owned();
    for entry in entries {
        let time = i64::try_from(entry.at.0).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let sign = if entry.incoming { "" } else { "-" };
        let amount = entry.amount.map(|amount| format!("{sign}{}", lumens::show(amount))).unwrap_or_default();
        let memo = match &entry.kind {
            Kind::Sent { memo: Some(memo) } => field(memo),
            _ => String::new(),
        };
        let time = time.map(|time| time.to_string()).unwrap_or_default();
        let hash = data_encoding::HEXLOWER.encode(&entry.transaction);
        text += &format!("{time},{},{amount},{},{memo},{hash}\r\n", entry.kind.word(), entry.with);
    }
    text
}

/// Free text as a field that no spreadsheet takes for a formula.
fn field(text: &str) -> String {
    let shield = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{shield}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_cannot_be_broken_by_what_a_memo_says() {
        let entry = |memo: &str| Entry {
            at: Timestamp(0),
            kind: Kind::Sent { memo: Some(memo.to_owned()) },
            incoming: false,
            amount: Some(Amount(15)),
            with: Address([0; 32]),
            transaction: [1; 32],
        };
        let text = csv(&[entry("=1+1"), entry("a \"b\", c\r\nd")]);
        assert!(text.contains(",\"'=1+1\","));
        assert!(text.contains(",\"a \"\"b\"\", c\r\nd\","));
        assert!(text.contains("1970-01-01T00:00:00Z,sent,-0.0000015,G"));
    }
}
