//! `hayloft init`, an identity and its words this once, and `hayloft unlock`.

use anyhow::{Context as _, Result};
use hayloft_node::identity::{self, NewIdentity};
use hayloft_node::model::Protection;
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{Init, Unlock};
use crate::connect::Place;
use crate::output::{Output, word};
use crate::passphrase;

/// Until restoring is built, everybody who makes an identity is told.
const ONLY_HERE: &str = "These files open only on this computer.";

const WORDS_UNSEEN: &str = "the words of the new identity could not be printed, so nobody has them: stop the node of this \
     home if one runs, delete identity.sealed in it, and begin again";

/// Makes an identity, in the running node or in a home at rest.
pub(crate) async fn init(place: &Place, wish: Init, output: Output) -> Result<()> {
    if wish.restore {
        identity::restore(&passphrase::read_words()?)?;
        return Ok(());
    }
    let passphrase = match &wish.passphrase_file {
        Some(path) => passphrase::from_file(path)?,
        None if wish.keychain => Zeroizing::default(),
        None => passphrase::ask_new()?,
    };
    let made = match place.running().await? {
        Some(client) => client.create_identity(&passphrase, wish.keychain).await?,
        None => identity::create(&place.home()?, place.network.clone(), &passphrase, wish.keychain).await?,
    };
    if made.protection == Protection::None {
        output.note("No passphrase: the identity on this computer is not protected.");
    }
    let value = json!({
        "owner": made.owner, "words": *made.words, "protection": word(&made.protection), "note": ONLY_HERE,
    });
    output.once(&value, || sheet(&made)).context(WORDS_UNSEEN)
}

/// Opens what the running node keeps sealed.
pub(crate) async fn unlock(place: &Place, wish: Unlock, output: Output) -> Result<()> {
    let client = place.client().await?;
    let passphrase = match &wish.passphrase_file {
        Some(path) => passphrase::from_file(path)?,
        None => passphrase::ask()?,
    };
    client.unlock(&passphrase).await?;
    output.result(&json!({ "unlocked": true }), || "Unlocked, until the node ends.".to_owned())
}

fn sheet(made: &NewIdentity) -> String {
    let words: Vec<String> = made
        .words
        .split(' ')
        .enumerate()
        .map(|(index, word)| format!("{:>2} {word:<9}", index + 1))
        .collect();
    let lines: Vec<String> = words.chunks(6).map(|line| line.join("  ").trim_end().to_owned()).collect();
    format!(
        "Your recovery phrase. Write it down now: it is shown only this once.\n\n{}\n\n{ONLY_HERE}\nYou are {}",
        lines.join("\n"),
        made.owner
    )
}
