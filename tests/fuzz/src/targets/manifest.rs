//! The edit: every byte but the value's is the old one, other parsers see the same file with that value in it, what was set is
//! read, and setting it twice is setting it once.

use crate::parts::Parts;
use crate::promise::is_plain_to_slack;
use crate::targets::readers::{self, Step};
use domain::image::{Digest, ImageName, Tag};
use domain::message;
use domain::names::FilePath;
use domain::refusal::Refusal;
use domain::values::{At, EditRefusal, LARGEST, OurImage, TagPath, Version, blob_sha, read_written, set_tag, text_of};
use serde_yaml::Value;

/// The text of a path, and back.
pub fn tag_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(path) = TagPath::parse(&text) else { return };
    assert!(text.len() <= 512);
    let printed = path.to_string();
    assert_eq!(TagPath::parse(&printed), Ok(path.clone()), "{text:?} is printed as {printed:?}");
    assert_eq!(TagPath::parse(&printed).map(|again| again.to_string()), Ok(printed.clone()));
    let stored = serde_json::to_string(&path).expect("it is stored");
    assert_eq!(serde_json::from_str::<TagPath>(&stored).ok(), Some(path));
}

fn is_refused_in_words(text: &str, why: EditRefusal) {
    if let EditRefusal::Syntax { line, .. } | EditRefusal::NotUtf8 { line } = &why {
        let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 2;
        assert!((1..=lines).contains(line), "line {line} of {lines}");
    }
    // Both would be bugs of ours.
    assert!(!matches!(why, EditRefusal::Unproven { .. }), "{why:?} for {text:?}");
    let stored = serde_json::to_string(&why).expect("it is stored");
    assert_eq!(serde_json::from_str::<EditRefusal>(&stored).ok().as_ref(), Some(&why));
    assert!(stored.len() < 4000, "{stored}");
    let path = FilePath::parse("checkout/values.yaml").expect("a path");
    is_plain_to_slack(&message::refusal(&Refusal::Edit { path, why }));
}

/// Where the tags are (paths with blanks between them; those of a digest begin with `@`) and the new tag, a line each; then the file.
pub fn manifest(data: &[u8]) {
    let mut parts = Parts(data);
    let (paths, tag) = (parts.text(), parts.text());
    let file = parts.rest();
    let (digests, paths): (Vec<&str>, Vec<&str>) = paths.split(' ').partition(|path| path.starts_with('@'));
    let digests = digests.iter().filter_map(|path| TagPath::parse(path.trim_start_matches('@')).ok());
    let digests: Vec<TagPath> = digests.take(2).collect();
    let paths: Vec<TagPath> = paths.into_iter().filter_map(|path| TagPath::parse(path).ok()).take(4).collect();
    let paths = if paths.is_empty() { vec![TagPath::default()] } else { paths };
    let text = match text_of(file) {
        Ok(text) => text,
        Err(why) => {
            assert!(std::str::from_utf8(file).is_err() || file.len() > LARGEST);
            return is_refused_in_words(&String::from_utf8_lossy(file), why);
        }
    };
    let tag = Tag::parse(&tag).map_or_else(|_| "main-abc1234".to_owned(), |tag| tag.to_string());
    let [name, mirror] =
        ["ghcr.io/acme/checkout", "mirror.corp:5000/x"].map(|name| ImageName::parse(name).expect("a name"));
    let ours = OurImage { name: &name, mirrors: &[mirror] };
    let digest = Digest::parse(&format!("sha256:{}", "0123456789abcdef".repeat(4))).expect("a digest");
    let at = At { tags: &paths, digests: &digests };
    let version = |tag| Version { tag, digest: Some(&digest) };

    let go = readers::ask(text);
    readers::agree(text, go.as_ref(), ours);
    let read = read_written(text, at, ours);
    let edit = match set_tag(text, at, ours, version(&tag)) {
        Ok(edit) => edit,
        Err(why) => {
            assert_eq!(read, Err(why.clone()), "what is refused is not read either");
            return is_refused_in_words(text, why);
        }
    };
    assert_eq!(read.as_ref(), Ok(&edit.before));
    assert_eq!(edit.changed, edit.text != text);
    let now = read_written(&edit.text, at, ours).expect("what was written can be read");
    assert!(now.is(version(&tag)) && now.tags.len() == paths.len(), "{now:?}");
    assert!(digests.iter().all(|path| paths.contains(path)) || !now.digests.is_empty(), "{now:?}");
    let twice = set_tag(&edit.text, at, ours, version(&tag)).expect("what was written can be written again");
    assert_eq!((twice.text.as_str(), twice.changed), (edit.text.as_str(), false), "twice is once");
    assert_eq!(blob_sha(edit.text.as_bytes()) == blob_sha(file), !edit.changed);
    if let ([_], true) = (paths.as_slice(), edit.changed) {
        // By way of another tag: nothing of that one is left.
        let other = set_tag(text, at, ours, version("another-tag")).expect("any tag can be written");
        assert_eq!(set_tag(&other.text, at, ours, version(&tag)).map(|edit| edit.text).as_ref(), Ok(&edit.text));
    }
    if let [path] = paths.as_slice() {
        only_one_value_differs(text, &edit.text, &tag);
        another_parser_agrees(text, &edit.text, path, &tag);
        if let Some(go) = go {
            readers::see_the_edit(text, go, &edit.text, &steps(path), &tag, ours);
        }
    }
}

/// What is left of the new text when both its ends that are the old text's are taken off, is part of the tag in quotes,
/// or of our image with it.
fn only_one_value_differs(old: &str, new: &str, tag: &str) {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let same_start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - same_start;
    let same_end = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let differs = &new[same_start..new.len() - same_end];
    // A blank that was there already may be taken for the one that was written.
    let images = ["ghcr.io/acme/checkout:", "mirror.corp:5000/x:"].map(|image| format!("{image}{tag}"));
    let values = [tag.to_owned()].into_iter().chain(images);
    let mut written =
        values.flat_map(|value| [format!(" \"{value}\""), format!("\"{value}\" "), format!("'{value}'"), value]);
    // The host may be written in capital letters.
    let is_part = |whole: String| {
        differs.is_empty() || whole.as_bytes().windows(differs.len()).any(|part| part.eq_ignore_ascii_case(differs))
    };
    assert!(written.any(is_part), "{:?} was written", String::from_utf8_lossy(differs));
}

/// The steps of a path as it is printed.
fn steps(path: &TagPath) -> Vec<Step> {
    let (text, mut steps) = (path.to_string(), Vec::new());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = within(inside);
            steps.push(step);
            rest = after;
        } else if let Some((key, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
    }
    steps
}

/// What stands in brackets, and what follows it.
fn within(text: &str) -> (Step, &str) {
    let word = |text: &'_ str, end: char| -> (String, usize) {
        match text.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((word, _)) => (word.to_owned(), word.len() + 3),
            None => text.split_once(end).map(|(word, _)| (word.to_owned(), word.len() + 1)).expect("it ends"),
        }
    };
    if let Some((Ok(number), after)) = text.split_once(']').map(|(number, after)| (number.parse(), after)) {
        return (Step::Item(number), after);
    }
    let (key, length) = word(text, '=');
    let text = &text[length..];
    let (value, length) = word(text, ']');
    (Step::With(key, value), &text[length..])
}

/// libyaml reads both files. It is the parser behind Helm's and Argo CD's, in another language.
fn another_parser_agrees(old: &str, new: &str, path: &TagPath, tag: &str) {
    let Ok(mut before) = serde_yaml::from_str::<Value>(old) else { return };
    let after: Value = match serde_yaml::from_str(new) {
        Ok(after) => after,
        Err(error) => panic!("{old:?} became {new:?}, which libyaml does not read: {error}"),
    };
    let mut place = Some(&mut before);
    for step in steps(path) {
        place = place.and_then(|value| match (value, step) {
            (Value::Mapping(map), Step::Key(key)) => map.get_mut(key.as_str()),
            (Value::Sequence(list), Step::Item(item)) => list.get_mut(item),
            (Value::Sequence(list), Step::With(key, value)) => {
                // What is no text to libyaml (`1`, `on`) is not found.
                list.iter_mut().find(|item| item.get(key.as_str()).and_then(Value::as_str) == Some(value.as_str()))
            }
            _ => None,
        });
    }
    // A key that is no text to libyaml (`1`, `on`) is not found.
    let Some(place) = place else { return };
    let place = if let Value::Tagged(tagged) = place { &mut tagged.value } else { place };
    // Of a whole image the repository stays, with a port if it has one.
    let named = place.as_str().and_then(|was| was.split('@').next()).filter(|named| named.contains('/'));
    let last = |named: &str| named.rfind('/').map_or(0, |slash| slash + 1);
    let repository = named.map(|named| named[last(named)..].find(':').map_or(named, |at| &named[..last(named) + at]));
    *place = Value::String(repository.map_or_else(|| tag.to_owned(), |repository| format!("{repository}:{tag}")));
    assert_eq!(before, after, "{old:?} became {new:?}");
}
