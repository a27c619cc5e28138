//! Image names, tags, digests, and the rule that makes a tag of a branch and a commit.
//!
//! An image has several spellings (`nginx` is `docker.io/library/nginx`). We print the one that the catalog
//! has, because people compare it with their own files, and compare by registry and repository.

use crate::names::{BranchName, CommitSha, GitTag, InvalidName, is_authority, is_hex, name, stored_as_text};
use crate::nonempty::NonEmpty;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The registry that a name without a host means, as people write it; its API answers on another host.
const DOCKER_HUB: &str = "docker.io";

/// An image without a tag: a registry and a repository in it, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    text: String,
    host: String,
    repository: String,
}

impl ImageName {
    /// Reads a name the way Docker does: the part before the first slash is a host if it looks like one.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => (first, rest),
            _ => (DOCKER_HUB, text),
        };
        let host = match host.to_ascii_lowercase() {
            old if old == "index.docker.io" => DOCKER_HUB.to_owned(),
            host => host,
        };
        let repository = match path.contains('/') {
            false if host == DOCKER_HUB => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if text.len() > 255 || !is_authority(&host, is_host) || !repository.split('/').all(is_repository_part) {
            return Err(InvalidName("image name (registry/repository in lower case, without a tag)"));
        }
        Ok(Self { text: text.to_owned(), host, repository })
    }

    /// The text, as configured.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry, with its port if it has one: `ghcr.io`, `docker.io`, `127.0.0.1:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host that answers the registry's API; only Docker Hub's differs from its name.
    pub fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }

    /// The repository in the registry: `acme/checkout`, `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether both names mean the same image, however they are written.
    pub fn is(&self, other: &Self) -> bool {
        self.host == other.host && self.repository == other.repository
    }
}

stored_as_text!(ImageName);

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, from the OCI distribution specification.
fn is_repository_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|text| !text.is_empty());
    part.bytes().next().is_some_and(is_word)
        && part.bytes().next_back().is_some_and(is_word)
        && separators.into_iter().all(|text| matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-'))
}

name! {
    /// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    Tag, "image tag", |text| {
        !text.is_empty() && text.len() <= 128 && text.chars().all(is_tag_char) && !text.starts_with(['.', '-'])
    }
}

fn is_tag_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

name! {
    /// The content of an image: `sha256:` and 64 hexadecimal digits in lower case.
    Digest, "image digest", |text| text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64))
}

impl Digest {
    /// As people compare it: the algorithm and the first 12 digits.
    pub fn short(&self) -> &str {
        self.as_str().get(..19).unwrap_or_default()
    }
}

/// An image that can be deployed: its name and one tag of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    pub name: ImageName,
    pub tag: Tag,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// The longest template. A tag has 128 characters at most.
const LONGEST_RULE: usize = 256;

/// How many digits of a commit tools write if nobody tells them: 7 is `git rev-parse --short` in a small repository and
/// docker/metadata-action, 8 is GitLab's `CI_COMMIT_SHORT_SHA`, 10 and 12 are what Git writes in larger ones, 40 is all.
const USUAL_DIGITS: [usize; 5] = [7, 8, 10, 12, 40];

/// Somebody can make a commit with the same first digits on purpose, if these are fewer.
const HARD_TO_FORGE: usize = 12;

/// How CI names the image of a commit: a template with `{branch}`, and `{sha}`, `{sha:N}` or `{sha:N,M}`.
///
/// A branch is written the way docker/metadata-action writes it: every run of characters that a tag may not
/// have becomes one `-`. Two branches may become the same text, so the rule must name the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRule {
    parts: Vec<Part>,
    /// How many digits of the commit's id a tag may have: each once, the fewest first.
    digits: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Branch,
    /// The name of a Git tag.
    GitTag,
    /// The same without a `v` in front.
    Version,
    /// The first digits of the commit's id.
    Sha,
}

impl TagRule {
    /// Reads a template. The error is a sentence about it, without the template.
    pub fn parse(template: &str) -> Result<Self, String> {
        Self::read(template, &[("branch", Part::Branch)], "the placeholders are `{branch}`, `{sha}` and `{sha:7}`")
    }

    /// The same for the image of a Git tag, with `{tag}`, or `{version}` for the tag without a `v` in front.
    pub fn parse_for_tags(template: &str) -> Result<Self, String> {
        let named = [("tag", Part::GitTag), ("version", Part::Version)];
        Self::read(template, &named, "the placeholders are `{tag}`, `{version}`, `{sha}` and `{sha:7}`")
    }

    /// `named`: the placeholders besides the commit.
    fn read(template: &str, named: &[(&str, Part)], placeholders: &str) -> Result<Self, String> {
        // What the rule makes is stored and shown even if that is no tag, and each `{branch}` in it is a
        // whole name.
        if template.len() > LONGEST_RULE {
            return Err(format!("it is longer than {LONGEST_RULE} characters"));
        }
        let (mut parts, mut digits) = (Vec::new(), Vec::new());
        let mut rest = template;
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').map_or((rest, None), |(literal, after)| (literal, Some(after)));
            if let Some(odd) = literal.chars().find(|c| !is_tag_char(*c)) {
                return Err(format!("an image tag cannot have {odd:?}"));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let Some(after) = after else { break };
            let (placeholder, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
            if let Some((_, part)) = named.iter().find(|(name, _)| *name == placeholder) {
                parts.push(part.clone());
                rest = after;
                continue;
            }
            parts.push(match placeholder.split_once(':') {
                _ if placeholder.starts_with("sha") && !digits.is_empty() => {
                    return Err("it may contain `{sha}` only once".to_owned());
                }
                None if placeholder == "sha" => {
                    digits = USUAL_DIGITS.to_vec();
                    Part::Sha
                }
                Some(("sha", list)) => {
                    digits = read_digits(list)?;
                    Part::Sha
                }
                _ => return Err(placeholders.to_owned()),
            });
            rest = after;
        }
        // A Git tag belongs to one commit by itself.
        if digits.is_empty() && !parts.iter().any(|part| matches!(part, Part::GitTag | Part::Version)) {
            return Err("it must contain `{sha}` or `{sha:7}`, so that a tag belongs to one commit".to_owned());
        }
        Ok(Self { parts, digits })
    }

    /// The tags that a commit on a branch may have, the most digits first; if none is a valid tag, the shortest text
    /// that was made.
    pub fn make(&self, branch: &BranchName, head: &CommitSha) -> Result<NonEmpty<Tag>, String> {
        self.make_of(branch.as_str(), head)
    }

    /// The same of a Git tag.
    pub fn make_of_tag(&self, tag: &GitTag, head: &CommitSha) -> Result<NonEmpty<Tag>, String> {
        self.make_of(tag.as_str(), head)
    }

    fn make_of(&self, name: &str, head: &CommitSha) -> Result<NonEmpty<Tag>, String> {
        let made = |digits: usize| -> String {
            let text = self.parts.iter().map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Branch | Part::GitTag => as_tag_text(name),
                Part::Version => as_tag_text(name.strip_prefix('v').unwrap_or(name)),
                Part::Sha => head.as_str().chars().take(digits).collect(),
            });
            text.collect()
        };
        // Without a commit in it there is one text.
        let lengths = if self.digits.is_empty() { &[usize::MIN] } else { self.digits.as_slice() };
        let tags = lengths.iter().rev().filter_map(|digits| Tag::parse(&made(*digits)).ok());
        NonEmpty::try_from(tags.collect::<Vec<_>>()).map_err(|_| made(lengths.first().copied().unwrap_or_default()))
    }

    /// How many digits of a commit a tag has at most, if these are so few that somebody can make another commit with
    /// the same tag on purpose.
    pub fn too_few_digits(&self) -> Option<usize> {
        self.digits.last().copied().filter(|most| *most < HARD_TO_FORGE)
    }
}

/// `7` or `7,12`.
fn read_digits(list: &str) -> Result<Vec<usize>, String> {
    let wrong = || "`{sha:N}` needs numbers of digits from 7 to 40, at most five".to_owned();
    let digits: BTreeSet<usize> =
        list.split(',').map(|one| digits_of(one.trim())).collect::<Option<_>>().ok_or_else(wrong)?;
    let is_good = digits.len() <= USUAL_DIGITS.len() && digits.iter().all(|digits| (7..=40).contains(digits));
    if is_good { Ok(digits.into_iter().collect()) } else { Err(wrong()) }
}

fn digits_of(text: &str) -> Option<usize> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// As the catalog writes it.
impl fmt::Display for TagRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Branch => f.write_str("{branch}"),
            Part::GitTag => f.write_str("{tag}"),
            Part::Version => f.write_str("{version}"),
            Part::Sha if self.digits == USUAL_DIGITS => f.write_str("{sha}"),
            Part::Sha => {
                let digits: Vec<String> = self.digits.iter().map(usize::to_string).collect();
                write!(f, "{{sha:{}}}", digits.join(","))
            }
        })
    }
}

impl TagRule {
    /// `{tag}`: how CI names the image of a Git tag, unless the catalog says more.
    pub fn of_tags() -> Self {
        Self { parts: vec![Part::GitTag], digits: Vec::new() }
    }
}

/// `{branch}-{sha}`.
impl Default for TagRule {
    fn default() -> Self {
        let parts = vec![Part::Branch, Part::Literal("-".to_owned()), Part::Sha];
        Self { parts, digits: USUAL_DIGITS.to_vec() }
    }
}

fn as_tag_text(branch: &str) -> String {
    let mut text = String::with_capacity(branch.len());
    let mut in_run = false;
    for c in branch.chars() {
        if is_tag_char(c) {
            text.push(c);
        } else if !in_run {
            text.push('-');
        }
        in_run = !is_tag_char(c);
    }
    text
}

/// Whether "live" asks for a proof that our image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyRunning {
    On,
    /// Our sync and health decide alone: nothing that Argo CD says about images can be trusted.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_image_name_means_a_registry_and_a_repository() {
        let check = |text: &str, host: &str, api_host: &str, repository: &str| {
            let name = ImageName::parse(text).unwrap();
            assert_eq!((name.host(), name.api_host(), name.repository()), (host, api_host, repository), "{text}");
            assert_eq!(name.to_string(), text);
            assert_eq!(serde_json::from_str::<ImageName>(&serde_json::to_string(&name).unwrap()).unwrap(), name);
        };
        let hub = "registry-1.docker.io";
        check("ghcr.io/acme/checkout", "ghcr.io", "ghcr.io", "acme/checkout");
        check("GHCR.io/acme/checkout", "ghcr.io", "ghcr.io", "acme/checkout");
        check("nginx", "docker.io", hub, "library/nginx");
        check("acme/checkout", "docker.io", hub, "acme/checkout");
        check("docker.io/nginx", "docker.io", hub, "library/nginx");
        check("index.docker.io/library/nginx", "docker.io", hub, "library/nginx");
        check("localhost/x", "localhost", "localhost", "x");
        check("localhost:5000/x", "localhost:5000", "localhost:5000", "x");
        check("127.0.0.1:5000/acme/checkout", "127.0.0.1:5000", "127.0.0.1:5000", "acme/checkout");
        check("[::1]:5000/x", "[::1]:5000", "[::1]:5000", "x");
        let google = "europe-west1-docker.pkg.dev";
        check("europe-west1-docker.pkg.dev/p/r/a__b.c-d---e_f", google, google, "p/r/a__b.c-d---e_f");
    }

    #[test]
    fn what_is_not_an_image_name() {
        for text in [
            "",
            "/",
            "ghcr.io/",
            "/x",
            "Acme/checkout",
            "ghcr.io/Acme/x",
            "ghcr.io/acme/x:v1",
            "nginx:1",
            "ghcr.io/a//b",
            "ghcr.io/-a",
            "ghcr.io/a-",
            "ghcr.io/a..b",
            "ghcr.io/a___b",
            "ghcr.io/a._b",
            "https://ghcr.io/a",
            "ghcr.io:0/a",
            "ghcr.io:+80/a",
            "ghcr.io:x/a",
            "-a.b/c",
            "a..b/c",
            "[::1/x",
            "ghcr.io/a@sha256:00",
            "ghcr.io/ü",
            " nginx",
            &format!("ghcr.io/{}", "a".repeat(255)),
        ] {
            assert!(ImageName::parse(text).is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn tags_and_digests_follow_the_specification() {
        for text in ["a", "_", "1.20", "Main-abc1234", "_.-", &"a".repeat(128)] {
            assert_eq!(Tag::parse(text).unwrap().as_str(), text);
        }
        for text in ["", ".a", "-a", "a/b", "a b", "a:b", "a\n", "ä", &"a".repeat(129)] {
            assert!(Tag::parse(text).is_err(), "{text:?} should be refused");
        }
        assert!(Digest::parse(&format!("sha256:{}", "0123456789abcdef".repeat(4))).is_ok());
        for text in [
            "",
            "sha256:",
            &"0".repeat(71),
            &format!("sha256:{}", "G".repeat(64)),
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert!(Digest::parse(text).is_err(), "{text:?} should be refused");
        }
        assert!(serde_json::from_str::<Tag>("\"a b\"").is_err());
    }

    fn made(rule: &str, branch: &str) -> Result<String, String> {
        let head = CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap();
        let tags = TagRule::parse(rule).unwrap().make(&BranchName::parse(branch).unwrap(), &head)?;
        Ok(tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_branch_is_written_as_docker_metadata_action_does() {
        for (branch, tag) in [
            ("main", "main-0123456"),
            ("my/branch", "my-branch-0123456"),
            ("Feature/X", "Feature-X-0123456"),
            ("dependabot/npm_and_yarn/@types/node-20.1", "dependabot-npm_and_yarn-types-node-20.1-0123456"),
            ("a#@!b", "a-b-0123456"),
            ("a-/b", "a--b-0123456"),
            ("a--b", "a--b-0123456"),
            ("fix/größe", "fix-gr-e-0123456"),
            ("12e", "12e-0123456"),
        ] {
            assert_eq!(made("{branch}-{sha:7}", branch).as_deref(), Ok(tag), "{branch}");
        }
        assert_eq!(TagRule::default(), TagRule::parse("{branch}-{sha}").unwrap());
    }

    #[test]
    fn other_rules_work_too() {
        assert_eq!(made("sha-{sha:12}", "main").as_deref(), Ok("sha-0123456789ab"));
        assert_eq!(made("{sha:40}", "main").as_deref(), Ok("0123456789abcdef0123456789abcdef01234567"));
        assert_eq!(made("pre_{branch}.{branch}_{sha:8}x", "a/b").as_deref(), Ok("pre_a-b.a-b_01234567x"));
    }

    #[test]
    fn a_git_tag_has_a_rule_of_its_own() {
        let head = CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap();
        let check = |rule: &str, tag: &str, expected: &str| {
            let rule = TagRule::parse_for_tags(rule).unwrap();
            let tags = rule.make_of_tag(&GitTag::parse(tag).unwrap(), &head).unwrap_or_else(|made| panic!("{made}"));
            assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "), expected, "{rule}");
        };
        check("{tag}", "v1.2.3", "v1.2.3");
        check("{version}", "v1.2.3", "1.2.3");
        check("{version}", "1.2.3", "1.2.3");
        check("r-{tag}-{sha:12}", "checkout/v1", "r-checkout-v1-0123456789ab");
        assert_eq!(TagRule::of_tags(), TagRule::parse_for_tags("{tag}").unwrap());
        assert_eq!(TagRule::parse_for_tags("{version}-{sha:12}").unwrap().to_string(), "{version}-{sha:12}");
        let wrong = |rule: &str| TagRule::parse_for_tags(rule).unwrap_err();
        assert_eq!(wrong("{branch}"), "the placeholders are `{tag}`, `{version}`, `{sha}` and `{sha:7}`");
        assert_eq!(wrong("v"), "it must contain `{sha}` or `{sha:7}`, so that a tag belongs to one commit");
        assert_eq!(
            TagRule::parse("{tag}-{sha}").unwrap_err(),
            "the placeholders are `{branch}`, `{sha}` and `{sha:7}`"
        );
    }

    #[test]
    fn a_tag_may_have_several_lengths() {
        let all = "0123456789abcdef0123456789abcdef01234567 0123456789ab 0123456789 01234567 0123456";
        assert_eq!(made("{sha}", "main").as_deref(), Ok(all));
        assert_eq!(made("{sha:12, 7,12}", "main").as_deref(), Ok("0123456789ab 0123456"));
        // What is too long for a tag is left out.
        let long = "a".repeat(120);
        assert_eq!(made("{branch}-{sha}", &long), Ok(format!("{long}-0123456")));
        let shown = |rule: &str| TagRule::parse(rule).unwrap().to_string();
        assert_eq!(shown("v{sha:7,8,10,12,40}"), "v{sha}");
        assert_eq!(shown("{branch}_{sha:9,8}"), "{branch}_{sha:8,9}");
        let few = |rule: &str| TagRule::parse(rule).unwrap().too_few_digits();
        assert_eq!((few("{sha:7,11}"), few("{sha:7,12}"), few("{sha}")), (Some(11), None, None));
    }

    #[test]
    fn a_branch_that_makes_no_tag_is_said_with_what_it_made() {
        assert_eq!(made("{branch}-{sha:7}", "ümlaut"), Err("-mlaut-0123456".to_owned()));
        let long = "a".repeat(121);
        assert_eq!(made("{branch}-{sha:7}", &long), Err(format!("{long}-0123456")));
        assert!(made("{branch}-{sha:7}", &"a".repeat(120)).is_ok());
    }

    #[test]
    fn a_broken_rule_is_explained() {
        let check = |rule: &str, problem: &str| assert_eq!(TagRule::parse(rule).unwrap_err(), problem, "{rule}");
        check("", "it must contain `{sha}` or `{sha:7}`, so that a tag belongs to one commit");
        check("{branch}", "it must contain `{sha}` or `{sha:7}`, so that a tag belongs to one commit");
        check("{branch}/{sha}", "an image tag cannot have '/'");
        check("{sha}}", "an image tag cannot have '}'");
        check("{sha", "a `{` has no `}`");
        for wrong in ["{sha:6}", "{sha:+7}", "{sha:41}", "{sha:}", "{sha:7,}", "{sha:7;8}", "{sha:7,8,9,10,11,12}"] {
            check(wrong, "`{sha:N}` needs numbers of digits from 7 to 40, at most five");
        }
        check("{sha:7}-{sha:40}", "it may contain `{sha}` only once");
        check("{commit}", "the placeholders are `{branch}`, `{sha}` and `{sha:7}`");
        check("{branch:3}{sha}", "the placeholders are `{branch}`, `{sha}` and `{sha:7}`");
        check("{{sha}}", "the placeholders are `{branch}`, `{sha}` and `{sha:7}`");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", rule in "[a-z{}:0-9./-]{0,30}", name in "[a-zA-Z0-9.:/@_\\[\\]-]{0,40}") {
            for text in [&text, &name] {
                let _ = ImageName::parse(text);
            }
            let _ = TagRule::parse(&rule);
            let _ = TagRule::parse(&text);
        }

        #[test]
        fn a_made_tag_is_valid_or_an_error(branch in "[a-zA-Z/._@é#-]{1,130}", sha in "[0-9a-f]{40}", digits in 7usize..=40) {
            if let Ok(branch) = BranchName::parse(&branch) {
                let sha = CommitSha::parse(&sha).unwrap();
                match TagRule::parse(&format!("{{branch}}-{{sha:{digits}}}")).unwrap().make(&branch, &sha) {
                    Ok(tags) => {
                        let tag = tags.first();
                        prop_assert!(tags.rest().is_empty() && Tag::parse(tag.as_str()).is_ok());
                        prop_assert!(tag.as_str().ends_with(sha.as_str().get(..digits).unwrap()));
                    }
                    Err(made) => prop_assert!(Tag::parse(&made).is_err()),
                }
            }
        }
    }
}
