//! The words of the command line. Checked here: everything that can be told without a node, so that a slip is wrong usage
//! (exit code 2) before anything happens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hayloft_node::NetworkName;
use hayloft_node::model::{Hours, PresetName};

use crate::values::{self, Limit, Most};

/// Keep your files with other people's computers, and theirs with yours
#[derive(Parser)]
#[command(name = "hayloft", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// The node's home folder [default: HAYLOFT_HOME, or the system's place for application data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print exactly one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The network; a new home keeps it [default: testnet]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) network: Option<NetworkName>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an identity: 24 words, shown once
    Init(Init),
    /// Run a node in the foreground
    Node(Node),
    /// Open what is protected by a passphrase, until the node ends
    Unlock(Unlock),
    /// What the running node is and how it is connected
    Status,
    /// Offer space to others
    Farm {
        #[command(subcommand)]
        what: Farm,
    },
    /// Store files and folders
    Put(Put),
    /// Bring a file or a folder back
    Get(Get),
    /// List stored files
    Ls,
    /// Remove stored files
    Rm(Rm),
    /// Ask the farmers of a file whether its pieces are there
    Health {
        /// The file's name, or a folder's
        name: String,
    },
    /// Rebuild what the farmers of a file have lost, with other farmers
    Repair {
        /// The file's name, or a folder's
        name: String,
    },
    /// Let farmers prove that they have what they keep; or check a receipt of such a proof
    Audit(Audit),
    /// Keep a file for longer
    Renew(Renew),
    /// List transfers, or pause, resume and cancel one
    Jobs {
        #[command(subcommand)]
        what: Option<Jobs>,
    },
    /// What you have, what is locked and owed, and sending it
    Wallet {
        #[command(subcommand)]
        what: Wallet,
    },
    /// Run a local ledger that answers like Stellar's, for machines without internet and for tests
    Ledger(Ledger),
    /// Run a whole network on this computer, its homes in --home DIR or in a folder that vanishes with it
    Devnet(Devnet),
    /// Print a script that completes this command's words in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    #[command(hide = true)]
    Man {
        /// Folder to write them to
        folder: PathBuf,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Init {
    /// Check 24 words, read from standard input; restoring from them comes in a later release
    #[arg(long)]
    pub(crate) restore: bool,
    /// Seal the words in the system's keychain instead of a file
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) keychain: bool,
    /// Read the passphrase from this file, which only you may be able to read [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct Unlock {
    /// Read the passphrase from this file, which only you may be able to read [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct Node {
    /// Join through this address, which ends in /p2p/…; may be given again
    #[arg(long, value_name = "ADDR")]
    pub(crate) bootstrap: Vec<String>,
    /// Listen on this address; may be given again [default: every interface, any free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Offer this much space, e.g. 100GB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) farm: Option<u64>,
    /// Announce this operator: farmers of one operator count as one
    #[arg(long, value_name = "NAME", requires = "farm")]
    pub(crate) operator: Option<String>,
    /// Audit farmers, from now on, for owners whose contracts name this node; --no-audit ends it
    #[arg(long, conflicts_with = "no_audit")]
    pub(crate) audit: bool,
    /// Audit no more
    #[arg(long)]
    pub(crate) no_audit: bool,
    /// Repair files without being asked, from now on, as a new home does; --no-repair ends it
    #[arg(long, conflicts_with = "no_repair")]
    pub(crate) repair: bool,
    /// Repair nothing without being asked
    #[arg(long)]
    pub(crate) no_repair: bool,
    /// With --audit: give farmers data of this auditor's own, from now on; what they prove of it is what counts in public
    #[arg(long, conflicts_with = "no_vet")]
    pub(crate) vet: bool,
    /// Give farmers none any more
    #[arg(long)]
    pub(crate) no_vet: bool,
    /// Let this auditor judge the farmers of new contracts, from now on; its address ends in /p2p/…
    #[arg(long, value_name = "ADDR")]
    pub(crate) auditor: Option<String>,
    /// Use this ledger, from now on [default: Stellar's test network on testnet, none elsewhere]
    #[arg(long, value_name = "URL")]
    pub(crate) ledger: Option<String>,
    /// Keep a TB for a month at this price, in XLM
    #[arg(long, value_name = "XLM", value_parser = values::stroops, requires = "farm")]
    pub(crate) price: Option<u64>,
    /// Length of an epoch in new contracts, in seconds, and the shortest that is taken [default: a day, a minute]
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = clap::value_parser!(u32).range(1..=2_678_400))]
    pub(crate) epoch: Option<u32>,
    /// Do not look for nodes on the local network
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// Read the passphrase from this file, which only you may be able to read
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Leave this much of the disk free, whatever the quota
    #[arg(long, value_name = "SIZE", value_parser = values::size, hide = true)]
    pub(crate) disk_guard: Option<u64>,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Subcommand)]
pub(crate) enum Farm {
    /// What is offered, used and free
    Status,
    /// Change what is offered; what is not named stays as it is
    Set(Box<FarmSet>),
    /// Read all that is kept for others again and tell what the disk lost
    Scrub,
    /// Leave: take nothing new, and serve what is kept until its owners have moved it
    Leave {
        /// Stay after all
        #[arg(long)]
        cancel: bool,
    },
}

#[derive(ClapArgs)]
#[group(required = true, multiple = true)]
pub(crate) struct FarmSet {
    /// Offer this much space, e.g. 100GB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) quota: Option<u64>,
    /// Offer no space; what is kept stays until its contracts end
    #[arg(long, conflicts_with = "quota")]
    pub(crate) off: bool,
    /// Price of keeping a TB for a month, in XLM
    #[arg(long, value_name = "XLM", value_parser = values::stroops)]
    pub(crate) price: Option<u64>,
    /// Price of serving a TB, in XLM
    #[arg(long, value_name = "XLM", value_parser = values::stroops)]
    pub(crate) egress_price: Option<u64>,
    /// Send at most this much a second, e.g. 5MB, or "none"
    #[arg(long, value_name = "SIZE", value_parser = values::limit)]
    pub(crate) upload_limit: Option<Limit>,
    /// Receive at most this much a second, e.g. 5MB, or "none"
    #[arg(long, value_name = "SIZE", value_parser = values::limit)]
    pub(crate) download_limit: Option<Limit>,
    /// Take new data only at these hours, e.g. 22:00-06:00, or "always"
    #[arg(long, value_name = "SPAN", value_parser = values::hours)]
    pub(crate) hours: Option<WhenOpen>,
    /// Refuse new data until resumed; reads go on
    #[arg(long, conflicts_with = "resume")]
    pub(crate) pause: bool,
    /// Take new data again
    #[arg(long)]
    pub(crate) resume: bool,
    /// Keep pieces in this folder, which must be there
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Announce this operator: farmers of one operator count as one
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
}

/// When new data is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenOpen {
    Always,
    Between(Hours),
}

/// How much redundancy, as a word on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Preset {
    /// Cheapest that is still reasonable
    Economy,
    /// What most people want
    Standard,
    /// Survives more losses, costs more
    Safe,
}

impl From<Preset> for PresetName {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Economy => Self::Economy,
            Preset::Standard => Self::Standard,
            Preset::Safe => Self::Safe,
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct Put {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Store under this name [default: the path's last part]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Keep for this long
    #[arg(long = "for", value_name = "TIME", value_parser = values::span, default_value = "3months")]
    pub(crate) keep: u64,
    /// Renew by itself before the end
    #[arg(long)]
    pub(crate) renew: bool,
    /// Replace a file of that name with other content
    #[arg(long)]
    pub(crate) replace: bool,
    /// How much redundancy
    #[arg(long, value_enum, default_value = "standard")]
    pub(crate) preset: Preset,
    /// Only say what it would do and cost
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before lumens are locked
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Get {
    /// The name of a file, or of a folder that was stored
    pub(crate) name: String,
    /// The file or folder to write, or a folder to put it in [default: the last part of the name, here]
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Begin at this byte
    #[arg(long, value_name = "BYTE", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Bring back only this much
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) bytes: Option<u64>,
    /// Overwrite what is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Rm {
    /// Names of files, or of folders: all files in them
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) what: Option<AuditWhat>,
    /// The file's name, or a folder's
    #[arg(required_unless_present_any = ["history", "all"], conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Audit all that farmers keep for you
    #[arg(long)]
    pub(crate) all: bool,
    /// Only show what was found so far, of this file, of those in this folder or of all
    #[arg(long)]
    pub(crate) history: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuditWhat {
    /// Check a receipt, offline, with nothing but the file
    Verify {
        /// The file
        receipt: PathBuf,
    },
    /// Write a receipt to a file that anyone can check
    Export {
        /// The farmer, or the beginning of its name
        farmer: String,
        /// The auditor's receipt of this epoch [default: the one of your own newest audit]
        #[arg(long, value_name = "NUMBER")]
        epoch: Option<u64>,
        /// The file to write [default: standard output]
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Wallet {
    /// What is free, locked, owed, paid and earned
    Status,
    /// Have the account created, where lumens are given away
    Fund,
    /// Send lumens to an account that exists
    Send(Send),
    /// What happened, the newest first
    History,
    /// Make a test account that you have already the wallet; its secret (S…) is read from standard input
    Import,
    /// Write all that happened as a table for spreadsheets (CSV)
    Export {
        /// The file to write [default: standard output]
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Overwrite what is there
        #[arg(long)]
        force: bool,
    },
    /// Show or set what may be spent, whatever asks for it
    Limits {
        /// At most this much XLM within any 24 hours, or "none"
        #[arg(long, value_name = "XLM", value_parser = values::most)]
        per_day: Option<Most>,
        /// At most this much XLM ever, or "none"
        #[arg(long, value_name = "XLM", value_parser = values::most)]
        in_all: Option<Most>,
        /// Leave out farmers that ask more XLM than this for a TB-month, or "none"
        #[arg(long, value_name = "XLM", value_parser = values::most)]
        price: Option<Most>,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Send {
    /// To this address, which begins with G
    pub(crate) to: String,
    /// How much, in XLM
    #[arg(value_name = "XLM", value_parser = values::stroops)]
    pub(crate) amount: u64,
    /// A few words that whoever gets it can read, and everybody else
    #[arg(long, value_name = "TEXT")]
    pub(crate) memo: Option<String>,
    /// From the account that farming is paid to, where that is another one
    #[arg(long)]
    pub(crate) from_payout: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Renew {
    /// The file's name, or a folder's
    pub(crate) name: String,
    /// Keep for this long from now; never shorter than before
    #[arg(long = "for", value_name = "TIME", value_parser = values::span, default_value = "3months")]
    pub(crate) keep: u64,
    /// From now on renew by itself
    #[arg(long, conflicts_with = "no_auto")]
    pub(crate) auto: bool,
    /// From now on do not renew by itself
    #[arg(long)]
    pub(crate) no_auto: bool,
}

#[derive(Subcommand, Clone, Copy)]
pub(crate) enum Jobs {
    /// Hold a transfer until it is resumed
    Pause {
        /// The transfer's number
        id: u32,
    },
    /// Let a paused or failed transfer go on
    Resume {
        /// The transfer's number
        id: u32,
    },
    /// End a transfer for good
    Cancel {
        /// The transfer's number
        id: u32,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Ledger {
    /// Listen on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Close a ledger this often, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value = "1000", hide = true, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) close_every: u64,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Devnet {
    /// How many farmers
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) farmers: u16,
    /// Spread the farmers over this many declared operators
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) groups: Option<u16>,
    /// Start no owner
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// What each farmer takes for keeping a TB for a month, in XLM; starts a ledger [default: nothing]
    #[arg(long, value_name = "XLM", value_parser = values::stroops)]
    pub(crate) price: Option<u64>,
    /// Length of an epoch, in seconds [default: a day]
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = clap::value_parser!(u32).range(1..=2_678_400))]
    pub(crate) epoch: Option<u32>,
    /// What each farmer offers
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "10GB")]
    pub(crate) farm_size: u64,
    /// Leave this much of the disk free, whatever the quota
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "256MB", hide = true)]
    pub(crate) disk_guard: u64,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// Prints the completion script of one shell.
pub(crate) fn print_completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "hayloft", &mut script);
    match crate::output::print_bytes(&script) {
        // A reader that has gone away (`| head`) is no error.
        Err(gone) if gone.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

/// Writes one manual page per command into `folder`.
pub(crate) fn write_man_pages(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command(), folder)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_command_line_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_file_is_kept_for_three_months_unless_told_otherwise() {
        let args = Args::try_parse_from(["hayloft", "put", "x"]).unwrap_or_else(|error| panic!("{error}"));
        let Command::Put(put) = args.command else { panic!("not a put") };
        let days = put.keep / 86_400;
        assert!((89..=92).contains(&days), "{days}");
    }

    #[test]
    fn farm_set_without_a_setting_is_wrong_usage() {
        assert!(Args::try_parse_from(["hayloft", "farm", "set"]).is_err());
        assert!(Args::try_parse_from(["hayloft", "farm", "set", "--quota", "lots"]).is_err());
        assert!(Args::try_parse_from(["hayloft", "farm", "set", "--pause", "--resume"]).is_err());
        assert!(Args::try_parse_from(["hayloft", "farm", "set", "--pause"]).is_ok());
    }
}
