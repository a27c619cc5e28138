//! Signatures: what we signed ourselves is believed, and nothing else is. The expected MAC is computed here once more.

use crate::parts::{Parts, one_bit_changed, pieces};
use crate::promise::{HUSH, keeps_secrets};
use crate::world::NOW;
use clients::signature::{
    GitHubMac, Keys, SignatureError, SigningKey, SlackClaim, deployment_id, sign_sha1, sign_sha256,
};
use domain::names::{Secret, SlackTeam};
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Slack's and GitHub's published secrets, so that their vectors are seeds.
pub(crate) const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const GITHUB_SECRET: &str = "It's a Secret to Everybody";

fn key(text: &str) -> SigningKey {
    SigningKey::new(&Secret::new(text)).expect("long enough")
}

/// The published secret, after a rotation; and keys that are not used anywhere.
pub(crate) fn slack_keys() -> Keys {
    Keys { current: key(&format!("the new signing secret {HUSH}")), previous: Some(key(SLACK_SECRET)) }
}

pub(crate) fn github_keys() -> Keys {
    Keys { current: key(&format!("the new webhook secret {HUSH}")), previous: Some(key(GITHUB_SECRET)) }
}

fn foreign_keys() -> Keys {
    Keys { current: key("a secret of somebody else"), previous: None }
}

/// The MAC of these pieces in hexadecimal, with each of both secrets.
pub(crate) fn macs(secrets: [&str; 2], signed: &[&[u8]]) -> [String; 2] {
    secrets.map(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
        signed.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

pub(crate) fn slack_macs(timestamp: &str, body: &[u8]) -> [String; 2] {
    let current = format!("the new signing secret {HUSH}");
    macs([&current, SLACK_SECRET], &[b"v0:", timestamp.as_bytes(), b":", body])
}

fn github_macs(body: &[u8]) -> [String; 2] {
    let current = format!("the new webhook secret {HUSH}");
    macs([&current, GITHUB_SECRET], &[body])
}

fn says_nothing(data: &[u8], error: SignatureError, macs: &[String; 2]) {
    let told = format!("{error} {error:?}");
    assert!(!macs.iter().any(|mac| told.contains(mac.as_str())), "the right signature is told");
    keeps_secrets(data, &told);
}

fn slack_signed(
    keys: &Keys,
    time: &str,
    body: &[u8],
    signature: &str,
    now: Timestamp,
) -> Result<Timestamp, SignatureError> {
    SlackClaim::read(time, signature, now)?.verify(keys, body)
}

/// `X-Slack-Request-Timestamp`, `X-Slack-Signature` and the time now, a line each; then the body.
pub fn slack_signature(data: &[u8]) {
    let mut parts = Parts(data);
    let (timestamp, signature) = (parts.text(), parts.text());
    let now = Timestamp::from_seconds(parts.number(NOW.seconds()));
    let body = parts.rest();
    let keys = slack_keys();

    let macs = slack_macs(&timestamp, body);
    match slack_signed(&keys, &timestamp, body, &signature, now) {
        Ok(at) => {
            assert!(timestamp.bytes().all(|b| b.is_ascii_digit()), "{timestamp:?}");
            assert!(now.seconds().abs_diff(at.seconds()) <= 300, "too old");
            assert!(macs.iter().any(|mac| signature.eq_ignore_ascii_case(&format!("v0={mac}"))), "not signed");
        }
        Err(error) => says_nothing(data, error, &macs),
    }

    // Signed by us a moment ago: believed, until anything at all is different.
    let time = now.seconds().to_string();
    for mac in slack_macs(&time, body) {
        let signature = format!("v0={mac}");
        let check = |keys: &Keys, time: &str, body: &[u8], signature: &str, now: Timestamp| {
            slack_signed(keys, time, body, signature, now).is_ok()
        };
        assert_eq!(slack_signed(&keys, &time, body, &signature, now), Ok(Timestamp::from_seconds(now.seconds())));
        assert!(!check(&foreign_keys(), &time, body, &signature, now), "with another secret");
        assert!(!check(&keys, &time, body, &mac, now), "without its version");
        let later = now.seconds().saturating_add(1);
        if let Some(earlier) = now.seconds().checked_sub(301) {
            assert!(!check(&keys, &time, body, &signature, Timestamp::from_seconds(earlier)), "from the future");
        }
        if later < u64::MAX / 1000 {
            assert!(!check(&keys, &later.to_string(), body, &signature, now), "with another time");
            assert!(!check(&keys, &time, body, &signature, Timestamp::from_seconds(now.seconds() + 301)), "too late");
        }
        assert!(!check(&keys, &time, &[body, b"&"].concat(), &signature, now), "with a longer body");
        if let Some(changed) = one_bit_changed(body, data) {
            assert!(!check(&keys, &time, &changed, &signature, now), "with another body");
        }
        let changed = one_bit_changed(signature.as_bytes(), data).and_then(|changed| String::from_utf8(changed).ok());
        if let Some(changed) = changed.filter(|changed| !changed.eq_ignore_ascii_case(&signature)) {
            assert!(!check(&keys, &time, body, &changed, now), "with the signature {changed}");
        }
    }

    // One click is one deployment, and its id tells nothing.
    if let Ok(team) = SlackTeam::parse("T1DC2JH3J") {
        let trigger = String::from_utf8_lossy(body);
        let id = deployment_id(&keys.current, Some(&team), &trigger);
        assert_eq!(id, deployment_id(&keys.current, Some(&team), &trigger));
        assert_ne!(id, deployment_id(&keys.current, None, &trigger));
        assert_ne!(id, deployment_id(&keys.current, Some(&team), &format!("{trigger}.")));
    }
}

/// Where the body is cut, and `X-Hub-Signature-256`, a line each; then the body.
pub fn github_signature(data: &[u8]) {
    let mut parts = Parts(data);
    let (cuts, signature) = (parts.line(), parts.text());
    let body = parts.rest();
    let verify = |keys: &Keys, pieces: &[Vec<u8>], signature: &str| {
        let mut mac = GitHubMac::new(keys, signature)?;
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.verify()
    };
    let (keys, whole) = (github_keys(), [body.to_vec()]);

    let macs = github_macs(body);
    let outcome = verify(&keys, &whole, &signature);
    assert_eq!(outcome, verify(&keys, &pieces(cuts, body), &signature), "it depends on where the body is cut");
    match outcome {
        Ok(()) => assert!(macs.iter().any(|mac| signature.eq_ignore_ascii_case(&format!("sha256={mac}")))),
        Err(error) => says_nothing(data, error, &macs),
    }

    let signature = sign_sha256(&keys.current, body);
    assert_eq!(signature, format!("sha256={}", macs[0]));
    assert_eq!(verify(&keys, &pieces(cuts, body), &signature), Ok(()));
    assert_eq!(verify(&keys, &whole, &format!("sha256={}", macs[1])), Ok(()), "after a rotation");
    assert!(verify(&foreign_keys(), &whole, &signature).is_err(), "with another secret");
    assert!(verify(&keys, &whole, &sign_sha1(&keys.current, body)).is_err(), "SHA-1");
    assert!(verify(&keys, &[body.to_vec(), b" ".to_vec()], &signature).is_err(), "with a longer body");
    if let Some(changed) = one_bit_changed(body, data) {
        assert!(verify(&keys, &[changed], &signature).is_err(), "with another body");
    }
    let changed = one_bit_changed(signature.as_bytes(), data).and_then(|changed| String::from_utf8(changed).ok());
    if let Some(changed) = changed.filter(|changed| !changed.eq_ignore_ascii_case(&signature)) {
        assert!(verify(&keys, &whole, &changed).is_err(), "with the signature {changed}");
    }
}
