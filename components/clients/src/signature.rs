//! Is this request really Slack's, or GitHub's? And our own MACs: the signature of a relayed push, the id of
//! a deployment.
//!
//! HMAC accepts an empty key: with an unset secret, anybody's signature would verify. So a [`SigningKey`] is
//! never empty or short. No error here tells the right signature.

use domain::names::{DeploymentId, MessageTs, Secret, SlackChannel, SlackTeam};
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How far Slack's clock and ours may be apart, both ways. An older request may be a replay.
const TOLERANCE_SECONDS: u64 = 300;

/// A secret that is long enough to sign with.
#[derive(Clone, Debug)]
pub struct SigningKey(Secret);

impl SigningKey {
    /// `None` if the secret counts as missing: fewer than 16 bytes, blanks at its ends not counted. The key
    /// is the text unchanged.
    pub fn new(secret: &Secret) -> Option<Self> {
        (secret.expose().trim().len() >= 16).then(|| Self(secret.clone()))
    }

    #[expect(clippy::expect_used, reason = "HMAC is defined for a key of any length")]
    fn mac<M: Mac + KeyInit>(&self) -> M {
        M::new_from_slice(self.0.expose().as_bytes()).expect("HMAC takes any key")
    }

    fn sha256(&self) -> Hmac<Sha256> {
        self.mac()
    }
}

/// The keys that are accepted now: a secret can be rotated without losing a request.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The one in use.
    pub current: SigningKey,
    /// The key before, while the other side may still sign with it.
    pub previous: Option<SigningKey>,
}

impl Keys {
    fn each(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// Why a signature is refused. The answer is always 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is absent or empty.
    #[error("the signature is missing")]
    Missing,
    /// A header is not what the sender writes.
    #[error("the signature is malformed")]
    Malformed,
    /// The time in it is more than five minutes away from ours: a replay, or a wrong clock.
    #[error("the signature is too old, or a clock is wrong")]
    Stale,
    /// Signed with another secret, or the body was changed.
    #[error("the signature is wrong")]
    Wrong,
}

/// What `X-Slack-Signature` and `X-Slack-Request-Timestamp` claim of a body. Without a claim no body is read.
pub struct SlackClaim<'h> {
    timestamp: &'h str,
    at: Timestamp,
    signature: Vec<u8>,
}

impl<'h> SlackClaim<'h> {
    /// Before the first byte of the body.
    pub fn read(timestamp_header: &'h str, signature_header: &str, now: Timestamp) -> Result<Self, SignatureError> {
        if timestamp_header.is_empty() || signature_header.is_empty() {
            return Err(SignatureError::Missing);
        }
        // `parse` alone would take a sign, which Slack never writes.
        let digits = timestamp_header.bytes().all(|b| b.is_ascii_digit());
        let seconds: u64 = timestamp_header.parse().ok().filter(|_| digits).ok_or(SignatureError::Malformed)?;
        let signature = signature_bytes(signature_header, "v0=")?;
        if now.seconds().abs_diff(seconds) > TOLERANCE_SECONDS {
            return Err(SignatureError::Stale);
        }
        Ok(Self { timestamp: timestamp_header, at: Timestamp::from_seconds(seconds), signature })
    }

    /// Whether the claim is true of the raw body. Gives the time at which Slack signed.
    pub fn verify(&self, keys: &Keys, body: &[u8]) -> Result<Timestamp, SignatureError> {
        let macs = keys.each().map(|key| {
            let mac = key.sha256().chain_update(b"v0:").chain_update(self.timestamp.as_bytes());
            mac.chain_update(b":").chain_update(body)
        });
        any_verifies(macs, &self.signature)?;
        Ok(self.at)
    }
}

/// Checks `X-Hub-Signature-256` over a body that is hashed as it streams in. SHA-1 is never accepted.
pub struct GitHubMac {
    macs: Vec<Hmac<Sha256>>,
    signature: Vec<u8>,
}

impl GitHubMac {
    /// Before the first byte of the body.
    pub fn new(keys: &Keys, signature_header: &str) -> Result<Self, SignatureError> {
        if signature_header.is_empty() {
            return Err(SignatureError::Missing);
        }
        let signature = signature_bytes(signature_header, "sha256=")?;
        Ok(Self { macs: keys.each().map(SigningKey::sha256).collect(), signature })
    }

    pub fn update(&mut self, piece: &[u8]) {
        for mac in &mut self.macs {
            mac.update(piece);
        }
    }

    /// After the last byte: whether the header's signature is that of the whole body.
    pub fn verify(self) -> Result<(), SignatureError> {
        any_verifies(self.macs.into_iter(), &self.signature)
    }
}

/// The value of `X-Hub-Signature-256` for a body.
pub fn sign_sha256(key: &SigningKey, body: &[u8]) -> String {
    format!("sha256={}", hex(&key.sha256().chain_update(body).finalize().into_bytes()))
}

/// The signature of a request to the gate service: as Slack signs its requests, with a key of its own.
pub fn sign_v0(key: &SigningKey, at: Timestamp, body: &[u8]) -> String {
    let mac = key.sha256().chain_update(format!("v0:{}:", at.seconds())).chain_update(body);
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

/// The value of `X-Hub-Signature` for a body: an Argo CD older than 2.13 looks at nothing else.
pub fn sign_sha1(key: &SigningKey, body: &[u8]) -> String {
    format!("sha1={}", hex(&key.mac::<Hmac<Sha1>>().chain_update(body).finalize().into_bytes()))
}

/// The id of the deployment that a button asks for: the same on every replica, and after a rotation of any secret. It may
/// be guessed, because an id proves nothing: the button itself has the id of the deployment that it is below, which stands
/// in Git.
pub fn button_id(team: Option<&SlackTeam>, button: &str) -> DeploymentId {
    let hash = Sha256::new_with_prefix(b"button:").chain_update(team.map_or("", SlackTeam::as_str).as_bytes());
    id_of(&hash.chain_update(b":").chain_update(button.as_bytes()).finalize())
}

/// The id of the deployment that a mention asks for: Slack sends the same message again when it gets no answer in time. An id
/// proves nothing, see [`button_id`].
pub fn mention_id(team: &SlackTeam, channel: &SlackChannel, ts: &MessageTs) -> DeploymentId {
    let hash = Sha256::new_with_prefix(b"mention:").chain_update(team.as_str().as_bytes());
    let hash = hash.chain_update(b":").chain_update(channel.as_str().as_bytes());
    id_of(&hash.chain_update(b":").chain_update(ts.as_str().as_bytes()).finalize())
}

/// The id of the deployment that one typed command asks for: the same on every replica, and not to be guessed.
pub fn deployment_id(key: &SigningKey, team: Option<&SlackTeam>, trigger_id: &str) -> DeploymentId {
    // The id is public, and the key also checks Slack's requests: the first word keeps the two kinds of
    // text apart.
    let mac = key.sha256().chain_update(b"deployment:").chain_update(team.map_or("", SlackTeam::as_str).as_bytes());
    let mac = mac.chain_update(b":").chain_update(trigger_id.as_bytes()).finalize().into_bytes();
    id_of(&mac)
}

#[expect(clippy::expect_used, reason = "32 lower-case hexadecimal digits are a deployment id")]
fn id_of(hash: &[u8]) -> DeploymentId {
    let half: Vec<u8> = hash.iter().copied().take(16).collect();
    DeploymentId::parse(&hex(&half)).expect("hexadecimal")
}

/// Compares in constant time.
fn any_verifies(mut macs: impl Iterator<Item = Hmac<Sha256>>, signature: &[u8]) -> Result<(), SignatureError> {
    if macs.any(|mac| mac.verify_slice(signature).is_ok()) { Ok(()) } else { Err(SignatureError::Wrong) }
}

/// The 32 bytes after the prefix.
fn signature_bytes(header: &str, prefix: &str) -> Result<Vec<u8>, SignatureError> {
    let digits = header.strip_prefix(prefix).ok_or(SignatureError::Malformed)?.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(SignatureError::Malformed);
    }
    digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()
        .ok_or(SignatureError::Malformed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // https://docs.slack.dev/authentication/verifying-requests-from-slack
    const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const SLACK_TIME: &str = "1531420618";
    const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    const GITHUB_SECRET: &str = "It's a Secret to Everybody";
    const GITHUB_BODY: &[u8] = b"Hello, World!";
    const GITHUB_SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn key(text: &str) -> SigningKey {
        SigningKey::new(&Secret::new(text)).unwrap()
    }

    fn keys(current: &str) -> Keys {
        Keys { current: key(current), previous: None }
    }

    fn rotated(current: &str, previous: &str) -> Keys {
        Keys { current: key(current), previous: Some(key(previous)) }
    }

    fn slack_signed(
        keys: &Keys,
        (time, body, signature): (&str, &[u8], &str),
        now: Timestamp,
    ) -> Result<Timestamp, SignatureError> {
        SlackClaim::read(time, signature, now)?.verify(keys, body)
    }

    fn github_signed(keys: &Keys, pieces: &[&[u8]], signature: &str) -> Result<(), SignatureError> {
        let mut mac = GitHubMac::new(keys, signature)?;
        for piece in pieces {
            mac.update(piece);
        }
        mac.verify()
    }

    fn slack_at(now: u64, time: &str, body: &str, signature: &str) -> Result<(), SignatureError> {
        slack_signed(&keys(SLACK_SECRET), (time, body.as_bytes(), signature), Timestamp::from_seconds(now)).map(|_| ())
    }

    #[test]
    fn slacks_published_vector_verifies() {
        let now = Timestamp::from_seconds(1_531_420_700);
        assert_eq!(
            slack_signed(&keys(SLACK_SECRET), (SLACK_TIME, SLACK_BODY.as_bytes(), SLACK_SIGNATURE), now),
            Ok(Timestamp::from_seconds(1_531_420_618))
        );
    }

    #[test]
    fn five_minutes_are_allowed_both_ways() {
        for (now, expected) in [
            (1_531_420_618 - 301, Err(SignatureError::Stale)),
            (1_531_420_618 - 300, Ok(())),
            (1_531_420_618 + 300, Ok(())),
            (1_531_420_618 + 301, Err(SignatureError::Stale)),
            (0, Err(SignatureError::Stale)),
        ] {
            assert_eq!(slack_at(now, SLACK_TIME, SLACK_BODY, SLACK_SIGNATURE), expected, "{now}");
        }
    }

    #[test]
    fn slack_requests_that_are_not_believed() {
        let now = 1_531_420_618;
        let check = |time: &str, body: &str, signature: &str, expected| {
            assert_eq!(slack_at(now, time, body, signature), Err(expected), "{time:?} {signature:?}");
        };
        check("", SLACK_BODY, SLACK_SIGNATURE, SignatureError::Missing);
        check(SLACK_TIME, SLACK_BODY, "", SignatureError::Missing);
        for time in ["+1531420618", "1531420618.0", " 1531420618", "-1", "x", "99999999999999999999999999"] {
            check(time, SLACK_BODY, SLACK_SIGNATURE, SignatureError::Malformed);
        }
        for signature in [
            "v0=",
            "v0=a2",
            &SLACK_SIGNATURE.replace("v0=", "v1="),
            &SLACK_SIGNATURE.replace("a2", "+2"),
            &format!("{SLACK_SIGNATURE}00"),
            "v0=éé",
        ] {
            check(SLACK_TIME, SLACK_BODY, signature, SignatureError::Malformed);
        }
        check(SLACK_TIME, &SLACK_BODY.replace("roadrunner", "coyote"), SLACK_SIGNATURE, SignatureError::Wrong);
        check("1531420619", SLACK_BODY, SLACK_SIGNATURE, SignatureError::Wrong);
        check(SLACK_TIME, SLACK_BODY, &SLACK_SIGNATURE.replace("a2", "a3"), SignatureError::Wrong);
    }

    #[test]
    fn a_rotated_secret_is_still_accepted_and_a_foreign_one_never() {
        let now = Timestamp::from_seconds(1_531_420_618);
        let signed = (SLACK_TIME, SLACK_BODY.as_bytes(), SLACK_SIGNATURE);
        let verify = |keys: &Keys| slack_signed(keys, signed, now).is_ok();
        assert!(verify(&rotated("another secret of 16+", SLACK_SECRET)));
        assert!(verify(&rotated(SLACK_SECRET, "another secret of 16+")));
        assert!(!verify(&rotated("another secret of 16+", "and one more secret")));

        for keys in [rotated("another secret of 16+", GITHUB_SECRET), rotated(GITHUB_SECRET, "another secret of 16+")] {
            assert_eq!(github_signed(&keys, &[GITHUB_BODY], GITHUB_SIGNATURE), Ok(()));
        }
    }

    #[test]
    fn githubs_published_vector_verifies_and_is_what_we_sign() {
        assert_eq!(github_signed(&keys(GITHUB_SECRET), &[b"Hello, ", b"", b"World!"], GITHUB_SIGNATURE), Ok(()));
        assert_eq!(sign_sha256(&key(GITHUB_SECRET), GITHUB_BODY), GITHUB_SIGNATURE);
    }

    #[test]
    fn sha1_is_signed_for_old_servers_but_never_accepted() {
        // The expected text is from `openssl dgst -sha1 -hmac`.
        let signature = sign_sha1(&key(GITHUB_SECRET), GITHUB_BODY);
        assert_eq!(signature, "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59");
        for header in
            [signature.as_str(), &signature.replace("sha1=", "sha256="), &GITHUB_SIGNATURE.replace("sha256=", "")]
        {
            assert_eq!(GitHubMac::new(&keys(GITHUB_SECRET), header).err(), Some(SignatureError::Malformed), "{header}");
        }
    }

    #[test]
    fn pushes_that_are_not_believed() {
        let verify = |body: &[u8], header: &str| github_signed(&keys(GITHUB_SECRET), &[body], header);
        assert_eq!(verify(GITHUB_BODY, ""), Err(SignatureError::Missing));
        assert_eq!(verify(b"Hello, World?", GITHUB_SIGNATURE), Err(SignatureError::Wrong));
        assert_eq!(
            verify(GITHUB_BODY, &sign_sha256(&key("another secret of 16+"), GITHUB_BODY)),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn a_key_is_never_empty_short_or_blank() {
        for text in ["", "short", "fifteen bytes..", &" ".repeat(40), "fifteen bytes..\n"] {
            assert!(SigningKey::new(&Secret::new(text)).is_none(), "{text:?}");
        }
        assert!(SigningKey::new(&Secret::new("sixteen bytes...")).is_some());
        assert_eq!(format!("{:?}", keys(SLACK_SECRET)), "Keys { current: SigningKey(Secret(..)), previous: None }");
    }

    #[test]
    fn one_click_is_one_deployment() {
        let id = |secret: &str, team: &str, trigger: &str| {
            deployment_id(&key(secret), Some(&SlackTeam::parse(team).unwrap()), trigger)
        };
        let first = id(SLACK_SECRET, "T1", "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c");
        insta::assert_snapshot!(first, @"c0be8bd403360e6db69166d33436d895");
        assert_eq!(first, id(SLACK_SECRET, "T1", "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"));
        assert_ne!(first, id(SLACK_SECRET, "T2", "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"));
        assert_ne!(first, id(SLACK_SECRET, "T1", "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703d"));
        assert_ne!(first, id(GITHUB_SECRET, "T1", "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"));
    }

    #[test]
    fn one_button_is_one_deployment() {
        let team = |team: &str| SlackTeam::parse(team).unwrap();
        let first = button_id(Some(&team("T1")), "retry/c0be8bd403360e6db69166d33436d895");
        insta::assert_snapshot!(first, @"799db9564da3648d3c4ba8d310f35d57");
        assert_eq!(first, button_id(Some(&team("T1")), "retry/c0be8bd403360e6db69166d33436d895"));
        assert_ne!(first, button_id(Some(&team("T2")), "retry/c0be8bd403360e6db69166d33436d895"));
        assert_ne!(first, button_id(None, "retry/c0be8bd403360e6db69166d33436d895"));
        assert_ne!(first, button_id(Some(&team("T1")), "retry/c0be8bd403360e6db69166d33436d895/1"));
    }

    proptest! {
        #[test]
        fn no_header_panics(time in "\\PC*", signature in "(v0=)?\\PC*", body: Vec<u8>) {
            let result = slack_signed(&keys(SLACK_SECRET), (&time, &body, &signature), Timestamp::from_seconds(1));
            prop_assert!(result.is_err());
        }

        #[test]
        fn a_body_verifies_however_it_is_cut(body: Vec<u8>, cut: prop::sample::Index) {
            let (head, tail) = body.split_at(cut.index(body.len().saturating_add(1)));
            let signature = sign_sha256(&key(GITHUB_SECRET), &body);
            prop_assert_eq!(github_signed(&keys(GITHUB_SECRET), &[head, tail], &signature), Ok(()));
        }
    }
}
