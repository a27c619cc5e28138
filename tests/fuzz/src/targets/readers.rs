//! What others read in the same file: libyaml in another language, and, if `YAML_READERS` names the program in `go/`, Helm and
//! Kustomize.
//!
//! What is read here, the others read, with the same text at every place that a path leads to. What the others read and
//! is refused here is safe, but has a reason with a name below.

use domain::image::ImageName;
use domain::values::{At, EditRefusal, OurImage, TagPath, read_written};
use serde::de::{Deserialize, IgnoredAny};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The answer of the Go program.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    helm_error: String,
    helm: Value,
    #[serde(default)]
    kustomize_error: String,
    kustomize: Option<Vec<Node>>,
}

/// One of the three; none for an alias.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct Node {
    scalar: Option<String>,
    plain: bool,
    list: Vec<Self>,
    map: Vec<(Self, Self)>,
}

/// One step down, as the path of a tag has it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(String),
    Item(usize),
    With(String, String),
}

struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What Helm and Kustomize read; `None` where no program is named.
pub(crate) fn ask(text: &str) -> Option<Answer> {
    static PROGRAM: OnceLock<Option<Mutex<Program>>> = OnceLock::new();
    let start = || {
        let path = std::env::var("YAML_READERS").ok()?;
        let mut child = Command::new(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("YAML_READERS: {path}: {error}"));
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Mutex::new(Program { child, input, output }))
    };
    // An input that does not hold poisons it.
    let mut program = PROGRAM.get_or_init(start).as_ref()?.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut line = String::new();
    program.input.write_all(&u32::try_from(text.len()).expect("it is short").to_be_bytes()).expect("it listens");
    program.input.write_all(text.as_bytes()).expect("it listens");
    program.output.read_line(&mut line).expect("it answers");
    let ended = program.child.try_wait();
    match serde_json::from_str(&line) {
        // Far deeper than any path.
        Err(error) if error.to_string().contains("recursion limit") => None,
        answer => Some(answer.unwrap_or_else(|error| panic!("{error}: {line:?}, {ended:?}"))),
    }
}

/// Whether libyaml reads each document.
fn libyaml(text: &str) -> Result<(), String> {
    // The mark would be a blank: the crate says that there is none.
    serde_yaml::Deserializer::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
        .try_for_each(|document| IgnoredAny::deserialize(document).map(|_| ()))
        .map_err(|error| error.to_string())
}

/// Why a file is refused here that others read.
const OURS: &[&str] = &[
    // A `%TAG` can make gigabytes of a small file. What is reserved is no directive to Go, but one to libyaml.
    "a directive other than %YAML",
    // libyaml reads 1.2, Go does not.
    "a version of YAML other than 1.1",
    // To libyaml it is a blank, to Go nothing at all, at some places.
    "a byte order mark within the text",
    "a ? in brackets and without quotes",
    "the escape \\/, which Helm does not know",
    // Those of Helm and Kustomize refuse it, too.
    "a comma right after a type",
    "too many types with a comma in them",
    "too many brackets are open",
    "nested too deeply",
];

/// Whether only the place of a tag is refused so, not the whole file.
fn is_of_a_path(problem: &str) -> bool {
    const WHY: [&str; 3] = [
        "too many mappings are merged there",
        "an anchor whose name has other characters than a-z, 0-9, - and _",
        "a tab in a blank line after the value",
    ];
    WHY.contains(&problem)
}

/// What a file is to libyaml and to Go, if it is refused here or not.
pub(crate) fn agree(text: &str, go: Option<&Answer>, ours: OurImage<'_>) {
    let refused = match read_written(text, At::tags(&[TagPath::default()]), ours) {
        Err(EditRefusal::Syntax { problem, .. }) if !is_of_a_path(&problem) => Some(problem),
        Err(EditRefusal::TooLarge { .. }) => return,
        _ => None,
    };
    let ours_alone = refused.as_ref().is_some_and(|problem| OURS.contains(&problem.as_str()));
    let by_libyaml = libyaml(text);
    if !ours_alone {
        // Not of its parser.
        let deep = by_libyaml
            .as_ref()
            .is_err_and(|error| error.contains("recursion limit") || error.contains("repetition limit"));
        assert!(
            refused.is_none() == by_libyaml.is_ok() || deep,
            "{text:?}: {refused:?} here, {by_libyaml:?} by libyaml"
        );
    }
    let Some(go) = go else { return };
    if refused.is_none() {
        assert!(go.kustomize_error.is_empty(), "{text:?} is read here, but not by Kustomize: {}", go.kustomize_error);
        assert!(
            go.helm_error.is_empty() || has_no_value(&go.helm_error) || go.kustomize.iter().flatten().any(has_odd_key),
            "{text:?} is read here, but not by Helm: {}",
            go.helm_error
        );
    }
    let Some([document]) = go.kustomize.as_deref() else { return };
    if refused.is_none() && go.kustomize_error.is_empty() {
        let mut scalars = Vec::new();
        all(document, &mut Vec::new(), &mut scalars);
        for (path, node) in scalars {
            same(text, &path, node, go, ours);
        }
    }
}

/// Whether Helm read the text, but makes no value of it. Nothing is deployed from such a file, edited or not.
fn has_no_value(error: &str) -> bool {
    const WHY: &[&str] = &[
        "cannot unmarshal",
        "cannot decode",
        "map merge requires map or sequence of maps",
        "value contains itself",
        "invalid map key",
        "document contains excessive aliasing",
        "unsupported value",
        "!!binary value contains invalid base64 data",
        "unsupported map key",
    ];
    WHY.iter().any(|why| error.contains(why))
}

/// Whether a list or mapping is a key. Helm makes no value of such a file: an error, or nothing at all if it is an empty one.
fn has_odd_key(node: &Node) -> bool {
    let is_odd = |key: &Node| key.scalar.is_none();
    node.list.iter().any(has_odd_key) || node.map.iter().any(|(key, value)| is_odd(key) || has_odd_key(value))
}

/// Every scalar that a path leads to, up to a limit.
fn all<'n>(node: &'n Node, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, &'n Node)>) {
    if path.len() > 8 || found.len() >= 24 {
        return;
    }
    if node.scalar.is_some() {
        found.push((path.clone(), node));
    }
    for (number, item) in node.list.iter().enumerate() {
        path.push(Step::Item(number));
        all(item, path, found);
        path.pop();
    }
    for (key, value) in &node.map {
        let Some(key) = &key.scalar else { continue };
        path.push(Step::Key(key.clone()));
        all(value, path, found);
        path.pop();
    }
}

/// The path of a scalar, if there is a way to write it.
fn printed(steps: &[Step]) -> Option<TagPath> {
    if steps.iter().any(|step| matches!(step, Step::Key(key) if key.contains('"'))) {
        return None;
    }
    let text: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Key(key) => format!(".\"{key}\""),
            Step::Item(number) => format!("[{number}]"),
            Step::With(key, value) => format!("[\"{key}\"=\"{value}\"]"),
        })
        .collect();
    TagPath::parse(text.concat().trim_start_matches('.')).ok()
}

/// The text at a path is the same to all.
fn same(text: &str, steps: &[Step], node: &Node, go: &Answer, ours: OurImage<'_>) {
    let Some(path) = printed(steps) else { return };
    let scalar = node.scalar.as_deref().unwrap_or_default();
    let tag = match read_written(text, At::tags(std::slice::from_ref(&path)), ours) {
        Ok(written) => written.tags.concat(),
        Err(
            why @ (EditRefusal::PathMissing { .. } | EditRefusal::NotAScalar { .. } | EditRefusal::Unproven { .. }),
        ) => {
            panic!("{text:?}: at {path} is {scalar:?} to Kustomize, but {why:?} here")
        }
        Err(EditRefusal::Syntax { problem, .. }) if !is_of_a_path(&problem) => {
            panic!("{text:?}: {problem} for {path}, but not for another path")
        }
        Err(_) => return,
    };
    assert!(is_tag_of(&tag, scalar, ours), "{text:?}: at {path} is {scalar:?} to Kustomize, but {tag:?} here");
    if !go.helm_error.is_empty() || go.kustomize.iter().flatten().any(has_odd_key) {
        return;
    }
    match in_json(&go.helm, steps) {
        Some(Value::String(helm)) => {
            assert!(is_tag_of(&tag, helm, ours), "{text:?}: at {path} is {helm:?} to Helm, but {tag:?} here");
        }
        Some(Value::Object(_) | Value::Array(_)) => {
            panic!("{text:?}: at {path} is no scalar to Helm, but {tag:?} here")
        }
        // Another type.
        Some(_) => assert!(node.plain, "{text:?}: at {path} is no text to Helm, but {tag:?} in quotes here"),
        None => {
            let all_words = steps.iter().all(|step| !matches!(step, Step::Key(key) if !is_word(key)));
            assert!(!all_words, "{text:?}: at {path} is nothing to Helm, but {tag:?} here: {}", go.helm);
        }
    }
}

/// Whether a key is a text to every reader.
fn is_word(key: &str) -> bool {
    const NONE: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    key.bytes().all(|byte| byte.is_ascii_alphabetic()) && !NONE.contains(&key.to_ascii_lowercase().as_str())
}

fn is_tag_of(tag: &str, scalar: &str, ours: OurImage<'_>) -> bool {
    let named = || scalar.strip_suffix(tag).map(|named| named.trim_end_matches([':', '@']));
    let is_ours = |named: &str| {
        ImageName::parse(named)
            .is_ok_and(|name| name.is(ours.name) || ours.mirrors.iter().any(|mirror| name.is(mirror)))
    };
    tag == scalar || named().is_some_and(is_ours)
}

fn in_json<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(number) => value.get(number),
        Step::With(key, is) => value.as_array()?.iter().find(|item| item.get(key).and_then(Value::as_str) == Some(is)),
    })
}

fn in_tree<'n>(node: &'n mut Node, steps: &[Step]) -> Option<&'n mut Node> {
    let has = |map: &[(Node, Node)], key: &str, is: &str| {
        let is_it = |node: &Node, text: &str| node.scalar.as_deref() == Some(text);
        map.iter().any(|(name, value)| is_it(name, key) && is_it(value, is))
    };
    steps.iter().try_fold(node, |node, step| match step {
        Step::Key(key) => {
            node.map.iter_mut().find(|(name, _)| name.scalar.as_ref() == Some(key)).map(|(_, value)| value)
        }
        Step::Item(number) => node.list.get_mut(*number),
        Step::With(key, is) => node.list.iter_mut().find(|item| has(&item.map, key, is)),
    })
}

/// After the edit, both read the old file with a text at the path that ends in the tag.
pub(crate) fn see_the_edit(old: &str, before: Answer, new: &str, steps: &[Step], tag: &str, ours: OurImage<'_>) {
    let Some(after) = ask(new) else { return };
    assert_eq!(before.kustomize_error, after.kustomize_error, "{old:?} became {new:?}");
    if before.helm_error.is_empty() {
        assert_eq!(after.helm_error, "", "{old:?} became {new:?}");
        let (mut was, is) = (before.helm, after.helm);
        let place = steps.iter().try_fold(&mut was, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Item(number) => value.get_mut(number),
            Step::With(key, text) => {
                value.as_array_mut()?.iter_mut().find(|item| item.get(key).and_then(Value::as_str) == Some(text))
            }
        });
        if let (Some(place), Some(Value::String(text))) = (place, in_json(&is, steps)) {
            assert!(is_tag_of(tag, text, ours), "{old:?} became {new:?}, {text:?} to Helm");
            *place = Value::String(text.clone());
            assert_eq!(was, is, "{old:?} became {new:?}");
        }
    }
    if let (Some(mut was), Some(mut is)) = (before.kustomize, after.kustomize) {
        let mut changed = 0;
        for (was, is) in was.iter_mut().zip(&mut is) {
            if let (Some(was), Some(is)) = (in_tree(was, steps), in_tree(is, steps)) {
                let text = is.scalar.clone().unwrap_or_default();
                assert!(is_tag_of(tag, &text, ours), "{old:?} became {new:?}, {text:?} to Kustomize");
                *was = is.clone();
                changed += 1;
            }
        }
        assert_eq!((was, changed), (is, 1), "{old:?} became {new:?}");
    }
}
