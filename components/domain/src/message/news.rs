//! What people read when the catalog has changed: who pushed, and what differs of who may what.

use super::blocks::{Message, SUMMARY, context, section};
use super::text::{LONG, SHORT, clip, code, code_escape, cut, escape, link, some, words};
use crate::catalog::{CatalogChange, CatalogPusher, Difference, News, OUT};
use crate::names::{BranchName, FilePath, RepoName};
use serde_json::Value;

/// Where the catalog is.
#[derive(Clone, Copy, Debug)]
pub struct CatalogPlace<'p> {
    pub path: &'p FilePath,
    pub repo: &'p RepoName,
    pub branch: &'p BranchName,
    /// GitHub's pages, without a slash at the end.
    pub web: &'p str,
}

/// How much of a value is shown, see [`News::Differs`].
const VALUE: usize = 700;
/// How long a block gets before a further line goes into the next one.
const BLOCK: usize = 1500;
/// So many blocks of lines fit into a message.
const BLOCKS: usize = 40;

/// The announcement of a change of the catalog.
pub fn catalog_changed(change: &CatalogChange, place: &CatalogPlace<'_>) -> Message {
    let path = code(place.path);
    let (first, lines, more) = match &change.news {
        News::Differs { all, more } => (format!(":warning: {path} changed."), lines(all), *more),
        News::Broken(error) => {
            let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
            let problem = escape(clip(&error.problem, LONG).trim_end_matches(['.', '?']));
            let until = "I refuse every deploy until somebody fixes it.";
            (format!(":x: {path} has a mistake{line}: {problem}. {until}"), Vec::new(), 0)
        }
        News::Gone => {
            let gone =
                format!(":x: {path} is gone from {}. I refuse every deploy until it is back.", code(place.branch));
            (gone, Vec::new(), 0)
        }
    };
    let who = who(&change.pushes);
    let mut blocks = vec![section(&format!("{first} {who} {}", look(&change.pushes, place)))];
    let (texts, left) = in_blocks(&lines);
    let more = more.saturating_add(left);
    blocks.extend(texts.iter().map(|text| section(text)));
    if more > 0 {
        blocks.push(context(&format!("… and {more} more that are not listed.")));
    }
    Message { text: cut(&format!("{first} {who}"), SUMMARY), blocks: Value::Array(blocks) }
}

/// A webhook is GitHub's word, and which of several pushes made the change is not known.
fn who(pushes: &[CatalogPusher]) -> String {
    let mut names: Vec<String> = Vec::new();
    for push in pushes {
        let name = words(&push.who, SHORT);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    let who = match names.len() {
        0 => "I don't know who pushed it.".to_owned(),
        _ => format!("{} pushed it, as GitHub told me.", some(&names, "or")),
    };
    let rewritten = pushes.iter().any(|push| push.rewrites);
    if rewritten { format!("{who} The branch was rewritten.") } else { who }
}

/// A link to what differs, as far as that is known.
fn look(pushes: &[CatalogPusher], place: &CatalogPlace<'_>) -> String {
    let CatalogPlace { path, repo, branch, web } = place;
    let before = pushes.first().and_then(|push| push.before.as_ref());
    match before.zip(pushes.last().and_then(|push| push.after.as_ref())) {
        Some((before, after)) => link(&format!("{web}/{repo}/compare/{before}...{after}"), "Compare"),
        None => link(&format!("{web}/{repo}/commits/{branch}/{path}"), "History"),
    }
}

/// The blocks, and how many lines are in none of them.
fn in_blocks(lines: &[String]) -> (Vec<String>, u32) {
    let mut blocks: Vec<String> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let is_full = blocks.len() == BLOCKS;
        match blocks.last_mut().filter(|block| block.chars().count().saturating_add(line.chars().count()) < BLOCK) {
            Some(block) => block.extend(["\n", line]),
            None if is_full => return (blocks, u32::try_from(lines.len().saturating_sub(n)).unwrap_or(u32::MAX)),
            None => blocks.push(line.clone()),
        }
    }
    (blocks, 0)
}

fn lines(all: &[Difference]) -> Vec<String> {
    all.iter().map(line).collect()
}

fn line(one: &Difference) -> String {
    let Difference { of, key, was, is } = one;
    let of = of.as_ref().map(|of| format!("*{}* ", words(of, SHORT))).unwrap_or_default();
    match (key.as_str(), was, is) {
        (OUT, _, Some(is)) => format!("• {of}is out of service: {}", escape(&clip(is, LONG))),
        (OUT, _, None) => format!("• {of}is back in service"),
        ("app", None, Some(is)) => format!("• {of}is new: {}", code(is)),
        ("app", _, _) => format!("• {of}is gone"),
        (key, was, is) => {
            let value = |value: &Option<String>| {
                value.as_ref().map_or("not set".to_owned(), |value| format!("`{}`", code_escape(value, VALUE)))
            };
            format!("• {of}{}: {} → {}", code(key), value(was), value(is))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{at, sha};
    use crate::refusal::CatalogError;

    fn shown(news: News, pushes: &[CatalogPusher]) -> String {
        let (path, repo) = (FilePath::parse("deploy-bot.yaml").unwrap(), RepoName::parse("acme/gitops").unwrap());
        let branch = BranchName::parse("main").unwrap();
        let place = CatalogPlace { path: &path, repo: &repo, branch: &branch, web: "https://github.com" };
        let message = catalog_changed(&CatalogChange { at: at(1), news, pushes: pushes.to_vec() }, &place);
        let blocks = message.blocks.as_array().unwrap();
        let texts = blocks.iter().map(|block| {
            let text = if block["type"] == "context" { &block["elements"][0]["text"] } else { &block["text"]["text"] };
            text.as_str().unwrap().to_owned()
        });
        std::iter::once(message.text.clone()).chain(texts).collect::<Vec<_>>().join("\n")
    }

    fn push(who: &str, rewrites: bool) -> CatalogPusher {
        CatalogPusher { at: at(1), who: who.to_owned(), before: Some(sha('a')), after: Some(sha('b')), rewrites }
    }

    #[test]
    fn people_read_who_changed_what() {
        let one = |of: Option<&str>, key: &str, was: Option<&str>, is: Option<&str>| Difference {
            of: of.map(str::to_owned),
            key: key.to_owned(),
            was: was.map(str::to_owned),
            is: is.map(str::to_owned),
        };
        let all = vec![
            one(Some("checkout"), "allow", Some("users U1"), Some("anyone")),
            one(None, "owners", Some("groups S1"), None),
            one(Some("checkout@production"), "branches", None, Some("`main`, <!channel>")),
            one(Some("cart"), "app", None, Some("docker.io/acme/cart for anyone")),
            one(Some("search"), "app", Some("ghcr.io/acme/search for anyone"), None),
            one(Some("x"), "image", Some("a"), Some("b")),
            one(Some("y"), OUT, None, Some("deploy-bot.yaml on line 7: `y` cannot have `<!channel>`")),
            one(Some("z"), OUT, Some("deploy-bot.yaml: why"), None),
        ];
        insta::assert_snapshot!(shown(News::Differs { all, more: 3 }, &[push("mallory", false)]), @"
        :warning: `deploy-bot.yaml` changed. mallory pushed it, as GitHub told me.
        :warning: `deploy-bot.yaml` changed. mallory pushed it, as GitHub told me. <https://github.com/acme/gitops/compare/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb|Compare>
        • *checkout* `allow`: `users U1` → `anyone`
        • `owners`: `groups S1` → not set
        • *checkout@production* `branches`: not set → `'main', &lt;!channel&gt;`
        • *cart* is new: `docker.io/acme/cart for anyone`
        • *search* is gone
        • *x* `image`: `a` → `b`
        • *y* is out of service: deploy-bot.yaml on line 7: `y` cannot have `&lt;!channel&gt;`
        • *z* is back in service
        … and 3 more that are not listed.
        ");
    }

    #[test]
    fn a_broken_or_missing_catalog_is_told_too() {
        let error = CatalogError { line: Some(7), problem: "`repo` is missing".to_owned() };
        let all = [
            shown(News::Broken(error), &[push("carol", true), push("*mallory*", false), push("carol", false)]),
            shown(News::Gone, &[]),
            shown(News::Gone, &[CatalogPusher { before: None, ..push("", false) }]),
        ];
        insta::assert_snapshot!(all.join("\n--\n"), @"
        :x: `deploy-bot.yaml` has a mistake on line 7: `repo` is missing. I refuse every deploy until somebody fixes it. carol or ∗mallory∗ pushed it, as GitHub told me. The branch was rewritten.
        :x: `deploy-bot.yaml` has a mistake on line 7: `repo` is missing. I refuse every deploy until somebody fixes it. carol or ∗mallory∗ pushed it, as GitHub told me. The branch was rewritten. <https://github.com/acme/gitops/compare/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb|Compare>
        --
        :x: `deploy-bot.yaml` is gone from `main`. I refuse every deploy until it is back. I don't know who pushed it.
        :x: `deploy-bot.yaml` is gone from `main`. I refuse every deploy until it is back. I don't know who pushed it. <https://github.com/acme/gitops/commits/main/deploy-bot.yaml|History>
        --
        :x: `deploy-bot.yaml` is gone from `main`. I refuse every deploy until it is back. I don't know who pushed it.
        :x: `deploy-bot.yaml` is gone from `main`. I refuse every deploy until it is back. I don't know who pushed it. <https://github.com/acme/gitops/commits/main/deploy-bot.yaml|History>
        ");
    }
}
