//! `hayloft wallet`: what there is, what happened, and sending.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use hayloft_gateway::Client;
use hayloft_node::model::{
    Escrow, EscrowStage, EscrowWait, SendReport, SendRequest, SendState, SpendingLimits, Wallet, WalletEntry,
};
use serde_json::json;

use crate::connect::Place;
use crate::farm::xlm;
use crate::output::{Output, Refusal, moment, print_bytes, printable, table, word};
use crate::passphrase;
use crate::{args, ask};

/// Does what is asked of the wallet.
pub(crate) async fn run(place: &Place, what: args::Wallet, output: Output) -> Result<()> {
    let client = place.client().await?;
    match what {
        args::Wallet::Status => show(&client.wallet().await?, output),
        args::Wallet::Fund => {
            if client.wallet().await?.exists {
                output.note("The account is there already: nothing is given a second time.");
            }
            show(&client.wallet_fund().await?, output)
        }
        args::Wallet::Send(wish) => send(&client, wish, output).await,
        args::Wallet::History => {
            let entries = client.wallet_history().await?;
            output.result(&entries, || history(&entries))
        }
        args::Wallet::Import => import(&client, output).await,
        args::Wallet::Export { output: path, force } => {
            export(&client.wallet_export().await?, path.as_deref(), force, output)
        }
        args::Wallet::Limits { per_day, in_all, price } => {
            let mut limits = client.wallet().await?.limits;
            if per_day.is_some() || in_all.is_some() || price.is_some() {
                limits.per_day = per_day.map_or(limits.per_day, |most| most.0);
                limits.in_all = in_all.map_or(limits.in_all, |most| most.0);
                limits.price = price.map_or(limits.price, |most| most.0);
                limits = client.wallet_limits(limits).await?;
            }
            output.result(&limits, || limit_lines(&limits))
        }
    }
}

/// Scripts read the wallet in short; people read all of it.
fn show(wallet: &Wallet, output: Output) -> Result<()> {
    output.result(&wallet.status, || text(wallet))
}

fn text(wallet: &Wallet) -> String {
    let status = &wallet.status;
    let mut lines = vec![
        format!("Network    {}", status.network),
        format!("Address    {}", status.address),
        format!("Free       {} XLM", xlm(status.free)),
        format!("Reserved   {} XLM, by the network for what the account keeps", xlm(wallet.reserved)),
        format!("In escrow  {} XLM, for farmers who earn it, or to come back", xlm(status.escrow)),
        format!("Owed       {} XLM, shown by audits and not paid yet", xlm(status.owed)),
        format!("Paid       {} XLM to farmers", xlm(status.paid)),
        format!("Earned     {} XLM by farming", xlm(status.earned)),
        limit_lines(&wallet.limits),
    ];
    if let Some(until) = wallet.safe_until {
        lines.push(format!("Safe until {}, if this computer does nothing more", moment(until)));
    }
    if let Some(payout) = &wallet.payout {
        lines.push(format!("Payout     {}: {} XLM of what is free", payout.address, xlm(payout.free)));
    }
    if !wallet.exists {
        let how =
            if wallet.gives { "`hayloft wallet fund` makes it" } else { "send lumens to it to make it" };
        lines.push(format!("The account is not on the ledger yet: {how}."));
    }
    lines.extend(wallet.problem.iter().cloned());
    if !wallet.escrows.is_empty() {
        lines.push(String::new());
        lines.push(escrows(&wallet.escrows));
        let said = wallet.escrows.iter().filter_map(|escrow| {
            escrow.problem.as_ref().map(|problem| format!("{}: {problem}", short(&escrow.account)))
        });
        lines.extend(said);
    }
    lines.join("\n")
}

fn escrows(escrows: &[Escrow]) -> String {
    let rows = escrows.iter().filter(|escrow| escrow.stage != EscrowStage::Over).map(|escrow| {
        vec![
            short(&escrow.account),
            word(&escrow.role),
            xlm(escrow.locked),
            xlm(escrow.owed.saturating_sub(escrow.at_risk)),
            xlm(escrow.at_risk),
            xlm(escrow.paid),
            escrow.waits_for.map_or_else(|| "-".into(), |wait| waits_for(wait).to_owned()),
            escrow.next_settlement.map_or_else(|| "-".into(), moment),
            moment(escrow.ends),
        ]
    });
    let titles = ["ESCROW", "SIDE", "LOCKED", "OWED", "AT RISK", "PAID", "WAITS FOR", "PERIOD ENDS", "ENDS"];
    table(&titles, &rows.collect::<Vec<_>>())
}

fn waits_for(wait: EscrowWait) -> &'static str {
    match wait {
        EscrowWait::Setup => "its setup",
        EscrowWait::PeriodEnd => "the period's end",
        EscrowWait::Audits => "audits",
        EscrowWait::Worth => "more to be owed",
        EscrowWait::Farmer => "its farmer",
        EscrowWait::Settlement => "a payment under way",
        EscrowWait::Reserve => "its reserve",
    }
}

/// Enough of an address to tell it from others.
fn short(address: &str) -> String {
    address.chars().take(8).collect()
}

fn limit_lines(limits: &SpendingLimits) -> String {
    let most =
        |limit: Option<u64>| limit.map_or_else(|| "no limit".into(), |most| format!("{} XLM", xlm(most)));
    format!(
        "Limits     {} in 24 hours, {} in all; farmers at {} a TB-month",
        most(limits.per_day),
        most(limits.in_all),
        limits.price.map_or_else(|| "any price for".into(), |most| format!("up to {} XLM for", xlm(most)))
    )
}

async fn send(client: &Client, wish: args::Send, output: Output) -> Result<()> {
    if !wish.yes && !ask::confirmed(&question(&wish), "A payment cannot be taken back")? {
        return Err(Refusal { code: "cancelled", message: "Nothing was sent.".into() }.into());
    }
    let request =
        SendRequest { to: wish.to, amount: wish.amount, memo: wish.memo, from_payout: wish.from_payout };
    let report = client.wallet_send(&request).await?;
    if report.state == SendState::Failed {
        let message = report.reason.unwrap_or_default();
        return Err(Refusal { code: "money", message: format!("Nothing was sent. {message}") }.into());
    }
    output.result(&report, || sent(&report, &request))
}

fn sent(report: &SendReport, request: &SendRequest) -> String {
    let what = format!("{} XLM to {}", xlm(request.amount), request.to);
    match report.state {
        SendState::Done => format!("Sent {what}."),
        SendState::UnderWay => {
            format!("{what} is under way: `hayloft wallet history` shows it once it has arrived.")
        }
        SendState::Failed => format!("Nothing was sent: {what}."),
    }
}

fn question(wish: &args::Send) -> String {
    let memo =
        wish.memo.as_ref().map_or_else(String::new, |memo| format!(" with the memo “{}”", printable(memo)));
    format!("Send {} XLM to {}{memo}? This cannot be taken back.", xlm(wish.amount), printable(&wish.to))
}

fn history(entries: &[WalletEntry]) -> String {
    let rows = entries.iter().map(|entry| {
        let sign = if entry.incoming { "" } else { "-" };
        vec![
            moment(entry.at),
            word(&entry.kind),
            entry.amount.map_or_else(String::new, |amount| format!("{sign}{}", xlm(amount))),
            short(&entry.with),
            entry.memo.as_deref().map(printable).unwrap_or_default(),
        ]
    });
    table(&["TIME", "WHAT", "XLM", "WITH", "MEMO"], &rows.collect::<Vec<_>>())
}

async fn import(client: &Client, output: Output) -> Result<()> {
    let secret = passphrase::read_secret()?;
    let address = client.wallet_import(&secret).await?;
    output.result(&json!({ "address": address }), || format!("The wallet is now {address}."))
}

fn export(text: &str, path: Option<&Path>, force: bool, output: Output) -> Result<()> {
    let Some(path) = path else {
        if output.is_json() {
            let message = "A table is no JSON document: name a file to write it to with --output.".to_owned();
            return Err(Refusal { code: "bad_request", message }.into());
        }
        print_bytes(text.as_bytes())?;
        return Ok(());
    };
    write(path, text, force)?;
    output.result(&json!({ "output": path }), || format!("Written to {}.", path.display()))
}

/// Writes a file that is not there yet, or, if `force`, any.
fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(force).create(force).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!(
                "There is already something at {}: overwrite it (`--force`), or choose another place.",
                path.display()
            );
            Err(Refusal { code: "exists", message }.into())
        }
        written => written.with_context(|| format!("{} cannot be written", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::{EntryKind, WalletStatus};

    use super::*;

    #[test]
    fn the_status_has_the_shape_that_scripts_read() {
        let status = WalletStatus {
            network: "barn".into(),
            address: "G1".into(),
            free: 1,
            escrow: 2,
            owed: 3,
            paid: 4,
            earned: 5,
        };
        let expected =
            r#"{"network":"barn","address":"G1","free":1,"escrow":2,"owed":3,"paid":4,"earned":5}"#;
        assert_eq!(serde_json::to_string(&status).unwrap(), expected);
    }

    #[test]
    fn a_table_overwrites_nothing_unless_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        write(&path, "first, and longer", false).unwrap();
        assert!(write(&path, "second", false).unwrap_err().to_string().contains("--force"));
        write(&path, "second", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
    }

    #[test]
    fn what_a_payment_was_for_is_told_in_a_line() {
        let entry = WalletEntry {
            at: 0,
            kind: EntryKind::Sent,
            contract: None,
            incoming: false,
            amount: Some(15_000_000),
            with: "GABCDEFGHIJK".into(),
            memo: Some("a\u{1b}[2J".into()),
            transaction: "00".into(),
        };
        let text = history(&[entry]);
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.contains("-1.5") && line.contains("GABCDEFG ") && line.contains("a\\u{1b}[2J"),
            "{line}"
        );
    }
}
