use data_encoding::{BASE32, HEXLOWER};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/keys.json")).unwrap()
}

fn network(name: &str) -> NetworkName {
    name.parse().unwrap()
}

/// The 32 bytes inside a `G…` or `S…` strkey: version byte, key, checksum.
fn strkey(text: &Value) -> [u8; 32] {
    BASE32.decode(text.as_str().unwrap().as_bytes()).unwrap()[1..33].try_into().unwrap()
}

#[test]
fn words_of_sep_0005_yield_its_seed_and_its_stellar_accounts() {
    let vectors = vectors();
    let phrase = RecoveryPhrase::parse(vectors["phrase"].as_str().unwrap()).unwrap();
    let seed = phrase.seed();
    assert_eq!(HEXLOWER.encode(seed.expose()), vectors["seed"].as_str().unwrap());
    for (account, pair) in vectors["stellar"].as_array().unwrap().iter().enumerate() {
        let key = StellarKey::account(seed.expose(), account as u32);
        assert_eq!((key.public(), *key.expose()), (strkey(&pair[0]), strkey(&pair[1])));
    }
    assert_eq!(StellarKey::from_seed(&seed).public(), strkey(&vectors["stellar"][0][0]));
}

#[test]
fn twelve_word_seed_of_sep_0005_yields_its_account() {
    let vectors = vectors();
    let seed = HEXLOWER.decode(vectors["twelve_words_seed"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(StellarKey::account(&seed, 0).public(), strkey(&vectors["twelve_words_account"]));
}

#[test]
fn roles_keep_their_keys() {
    let vectors = vectors();
    let seed = RecoveryPhrase::parse(vectors["phrase"].as_str().unwrap()).unwrap().seed();
    let roles: Vec<Value> = ["testnet", "devnet-7"]
        .map(|name| {
            let keys = seed.keys(&network(name));
            let signature = keys.owner.sign("label", &network(name), 1, &"value");
            json!({
                "network": name,
                "owner": keys.owner.id(),
                "owner_secret": HEXLOWER.encode(keys.owner.0.as_bytes()),
                "content_root": HEXLOWER.encode(&keys.content.0),
                "repair_root": HEXLOWER.encode(&keys.repair.0),
                "audit_root": HEXLOWER.encode(&keys.audit.0),
                "derived": HEXLOWER.encode(&*keys.content.derive("label")),
                "name_lookup": HEXLOWER.encode(&keys.content.lookup("a/name")),
                "signature_of_value_under_label_1": signature,
            })
        })
        .to_vec();
    assert_eq!(Value::from(roles), vectors["roles"], "formats changed");
}

#[test]
fn no_two_roles_or_networks_share_a_key() {
    let seed = Seed::from_bytes(&[7; 64]);
    let mut all = Vec::new();
    for name in ["testnet", "testnet-", "t"] {
        let keys = seed.keys(&network(name));
        all.extend([*keys.owner.0.as_bytes(), keys.content.0, keys.repair.0, *keys.content.derive("label")]);
        all.extend([*keys.repair.derive("label"), keys.audit.0]);
    }
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn random_phrase_reads_back_whatever_the_case_and_spacing() {
    let phrase = RecoveryPhrase::random(&mut StdRng::seed_from_u64(1));
    let words: Vec<_> = phrase.words().collect();
    assert_eq!(words.len(), 24);
    let typed = format!("  {}\n", words.join(" \t\r\n").to_uppercase());
    assert_eq!(RecoveryPhrase::parse(&typed).unwrap().words().collect::<Vec<_>>(), words);
}

#[test]
fn wrong_words_are_refused_with_the_place_of_the_mistake() {
    let phrase = vectors()["phrase"].as_str().unwrap().to_owned();
    let mut words: Vec<&str> = phrase.split(' ').collect();
    let parse = |words: &[&str]| RecoveryPhrase::parse(&words.join(" ")).unwrap_err();
    assert_eq!(parse(&[]), PhraseError::WrongCount(0));
    assert_eq!(parse(&words[..23]), PhraseError::WrongCount(23));
    assert_eq!(parse(&words[..12]), PhraseError::WrongCount(12));
    assert_eq!(parse(&[&words[..], &["better"]].concat()), PhraseError::WrongCount(25));
    words[4] = "augusta";
    assert_eq!(parse(&words), PhraseError::UnknownWord(5));
    assert!(!parse(&words).to_string().contains("augusta"));
    words[4] = "zebra";
    assert_eq!(parse(&words), PhraseError::WrongChecksum);
}

#[test]
fn debug_output_shows_no_secret() {
    let seed = Seed::from_bytes(&[0x5a; 64]);
    let keys = seed.keys(&network("n"));
    let device = DeviceKey::from_bytes(&[0x5a; 32]);
    let phrase = RecoveryPhrase::random(&mut StdRng::seed_from_u64(1));
    let shown =
        format!("{seed:?}{keys:?}{device:?}{phrase:?}{:?}{:?}{:?}", keys.owner, keys.content, keys.stellar);
    assert_eq!(
        shown,
        "Seed(..)OwnerKeys(..)DeviceKey(..)RecoveryPhrase(..)OwnerKey(..)ContentRoot(..)StellarKey(..)"
    );
}

#[test]
fn signature_holds_for_its_label_network_version_value_and_signer_alone() {
    let key = DeviceKey::random(&mut StdRng::seed_from_u64(1));
    let (here, there) = (network("here"), network("there"));
    let signature = key.sign("label", &here, 1, &7u32);
    assert_eq!(DeviceKey::from_bytes(key.expose()).id(), key.id());
    assert_eq!(key.id().verify("label", &here, 1, &7u32, &signature), Ok(()));
    let mut bent = signature;
    bent.0[3] ^= 1;
    assert_eq!(key.id().verify("labe", &here, 1, &7u32, &signature), Err(BadSignature));
    assert_eq!(key.id().verify("label", &there, 1, &7u32, &signature), Err(BadSignature));
    assert_eq!(key.id().verify("label", &here, 2, &7u32, &signature), Err(BadSignature));
    assert_eq!(key.id().verify("label", &here, 1, &8u32, &signature), Err(BadSignature));
    assert_eq!(key.id().verify("label", &here, 1, &7u32, &bent), Err(BadSignature));
    let other = DeviceKey::random(&mut StdRng::seed_from_u64(2)).id();
    assert_eq!(other.verify("label", &here, 1, &7u32, &signature), Err(BadSignature));
    assert_eq!(DeviceId([0xff; 32]).verify("label", &here, 1, &7u32, &signature), Err(BadSignature));
}

#[test]
fn weak_public_key_that_fits_everything_is_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = Signature([0; 64]);
    signature.0[0] = 1;
    assert_eq!(OwnerId(identity).verify("label", &network("n"), 1, &7u32, &signature), Err(BadSignature));
}
