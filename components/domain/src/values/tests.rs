//! What is edited and how, and what is refused.

#![expect(clippy::too_many_lines, reason = "tables of what goes in and what comes out")]

use super::edit::{differs_only_in, means_the_same_but_for};
use super::walk::{DEEPEST, scalars};
use super::*;
use proptest::prelude::*;
use std::fmt::Write;

const TAG: &str = "main-abc1234";

fn path(text: &str) -> TagPath {
    TagPath::parse(text).unwrap()
}

fn refusal(text: &str, at: &str) -> EditRefusal {
    let refusal = set_tag(text, &[path(at)], TAG).unwrap_err();
    assert_eq!(read_tags(text, &[path(at)]).unwrap_err(), refusal, "what is refused is not read either");
    refusal
}

/// One line per file: which it is, and why it is refused.
fn refusals(files: &[(&str, &str)]) -> String {
    files.iter().fold(String::new(), |mut all, (at, text)| {
        let why = serde_json::to_string(&refusal(text, at)).unwrap();
        writeln!(all, "{text:?}\n    {why}").unwrap();
        all
    })
}

/// Before and after, with what cannot be seen made visible.
fn fences(at: &[&str], text: &str) -> String {
    let at: Vec<_> = at.iter().map(|at| path(at)).collect();
    let edit = set_tag(text, &at, TAG).unwrap();
    assert_eq!(read_tags(&edit.text, &at).unwrap(), vec![TAG; at.len()]);
    assert_eq!(read_tags(text, &at).unwrap(), edit.before);
    let again = set_tag(&edit.text, &at, TAG).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (edit.text.as_str(), false), "a second edit has nothing to do");
    let show = |text: &str| {
        let seen = text.replace('\r', "␍").replace('\u{FEFF}', "<BOM>").replace('\u{85}', "\\u{85}");
        if seen.ends_with('\n') { seen } else { format!("{seen}<no newline>\n") }
    };
    format!("--- before: {:?}\n{}--- after\n{}---", edit.before, show(text), show(&edit.text))
}

#[test]
fn paths_have_one_spelling() {
    for (text, canonical) in [
        ("image.tag", "image.tag"),
        ("tag", "tag"),
        ("images[0].tag", "images[0].tag"),
        ("[1][20]", "[1][20]"),
        ("\"image\".\"tag\"", "image.tag"),
        ("\"a.b\".tag", "\"a.b\".tag"),
        ("a.\"b c[0]\"[3]", "a.\"b c[0]\"[3]"),
        ("größe.tag-x_1", "größe.tag-x_1"),
    ] {
        assert_eq!(path(text).to_string(), canonical);
        assert_eq!(path(canonical), path(text));
    }
    let long = "a.".repeat(40) + "a";
    for text in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a.[0]",
        "a[",
        "a[]",
        "a[x]",
        "a[-1]",
        "a[01]",
        "a[0]b",
        "a[9999999]",
        "a]",
        "\"",
        "\"\"",
        "\"a",
        "\"a\"b",
        "a\"b",
        "a b",
        "a\nb",
        "\"a\nb\"",
        "'a'",
        &long,
        &"a".repeat(600),
    ] {
        assert!(TagPath::parse(text).is_err(), "{text:?} should be refused");
    }
    assert_eq!(TagPath::default().to_string(), "image.tag");
    assert_eq!(serde_json::to_string(&path("a[0].\"b.c\"")).unwrap(), r#""a[0].\"b.c\"""#);
    assert_eq!(serde_json::from_str::<TagPath>(r#""image.tag""#).unwrap(), TagPath::default());
    assert!(serde_json::from_str::<TagPath>(r#""a..b""#).is_err());
}

#[test]
fn ordinary_files() {
    insta::assert_snapshot!(fences(&["image.tag"], "# who: team\nreplicas: 2\n\nimage:\n  # set by the bot\n  tag: old-1234567   # do not edit\n  repository: ghcr.io/acme/checkout\nzz: 'last'\n"), @r#"
    --- before: ["old-1234567"]
    # who: team
    replicas: 2

    image:
      # set by the bot
      tag: old-1234567   # do not edit
      repository: ghcr.io/acme/checkout
    zz: 'last'
    --- after
    # who: team
    replicas: 2

    image:
      # set by the bot
      tag: "main-abc1234"   # do not edit
      repository: ghcr.io/acme/checkout
    zz: 'last'
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "image: {repository: x, tag: 'old', pullPolicy: Always}"), @r#"
    --- before: ["old"]
    image: {repository: x, tag: 'old', pullPolicy: Always}<no newline>
    --- after
    image: {repository: x, tag: 'main-abc1234', pullPolicy: Always}<no newline>
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "\u{FEFF}# größe\r\nimage:\r\n  tag: \"v1 \\\" # x\" # ünï\r\n  name: ä\r\n"), @r#"
    --- before: ["v1 \" # x"]
    <BOM># größe␍
    image:␍
      tag: "v1 \" # x" # ünï␍
      name: ä␍
    --- after
    <BOM># größe␍
    image:␍
      tag: "main-abc1234" # ünï␍
      name: ä␍
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "{\n  \"größe\": [1, {\"tag\": 2}],\n  \"image\": {\"tag\":\"old\"}\n}"), @r#"
    --- before: ["old"]
    {
      "größe": [1, {"tag": 2}],
      "image": {"tag":"old"}
    }<no newline>
    --- after
    {
      "größe": [1, {"tag": 2}],
      "image": {"tag":"main-abc1234"}
    }<no newline>
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "image:\n  tag: 'it''s'  \n"), @r#"
    --- before: ["it's"]
    image:
      tag: 'it''s'  
    --- after
    image:
      tag: 'main-abc1234'  
    ---
    "#);
}

#[test]
fn lists_and_quoted_keys() {
    insta::assert_snapshot!(fences(&["images[1].tag"], "images:\n- name: a\n  tag: one\n- name: b\n  tag: two\n"), @r#"
    --- before: ["two"]
    images:
    - name: a
      tag: one
    - name: b
      tag: two
    --- after
    images:
    - name: a
      tag: one
    - name: b
      tag: "main-abc1234"
    ---
    "#);
    insta::assert_snapshot!(fences(&["\"a.b\".tag"], "a:\n  b:\n    tag: no\n\"a.b\":\n  'tag': 1.20\n"), @r#"
    --- before: ["1.20"]
    a:
      b:
        tag: no
    "a.b":
      'tag': 1.20
    --- after
    a:
      b:
        tag: no
    "a.b":
      'tag': "main-abc1234"
    ---
    "#);
    insta::assert_snapshot!(fences(&["web.tag", "tags[0]"], "tags: [old, other]\nweb:\n  tag: old\n"), @r#"
    --- before: ["old", "old"]
    tags: [old, other]
    web:
      tag: old
    --- after
    tags: ["main-abc1234", other]
    web:
      tag: "main-abc1234"
    ---
    "#);
}

#[test]
fn anchors_types_and_empty_values() {
    insta::assert_snapshot!(fences(&["image.tag"], "image: &image\n  tag: &t !!str 12 # pinned\n"), @r#"
    --- before: ["12"]
    image: &image
      tag: &t !!str 12 # pinned
    --- after
    image: &image
      tag: &t !!str "main-abc1234" # pinned
    ---
    "#);
    insta::assert_snapshot!(fences(&["a", "b"], "a: !!str \"x\"\nb: ! &b 'y' # c\n"), @r#"
    --- before: ["x", "y"]
    a: !!str "x"
    b: ! &b 'y' # c
    --- after
    a: !!str "main-abc1234"
    b: ! &b 'main-abc1234' # c
    ---
    "#);
    insta::assert_snapshot!(fences(&["a"], "a: &xy !!str \u{85}z\n"), @r#"
    --- before: ["\u{85}z"]
    a: &xy !!str \u{85}z
    --- after
    a: &xy !!str "main-abc1234"
    ---
    "#);
    insta::assert_snapshot!(fences(&["a", "b.c"], "a:\nb: {c:, d: e}\n"), @r#"
    --- before: ["", ""]
    a:
    b: {c:, d: e}
    --- after
    a: "main-abc1234"
    b: {c: "main-abc1234", d: e}
    ---
    "#);
    insta::assert_snapshot!(fences(&["a", "b", "c"], "a: # none\nb: !!str\nc: ~\n"), @r#"
    --- before: ["", "", "~"]
    a: # none
    b: !!str
    c: ~
    --- after
    a: "main-abc1234" # none
    b: !!str "main-abc1234"
    c: "main-abc1234"
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "base: &base\n  tag: x\nimage:\n  <<: *base\n  tag: own\n"), @r#"
    --- before: ["own"]
    base: &base
      tag: x
    image:
      <<: *base
      tag: own
    --- after
    base: &base
      tag: x
    image:
      <<: *base
      tag: "main-abc1234"
    ---
    "#);
    insta::assert_snapshot!(fences(&["image.tag"], "---\nkind: A\n---\nkind: B\n---\nimage:\n  tag: old\n...\n"), @r#"
    --- before: ["old"]
    ---
    kind: A
    ---
    kind: B
    ---
    image:
      tag: old
    ...
    --- after
    ---
    kind: A
    ---
    kind: B
    ---
    image:
      tag: "main-abc1234"
    ...
    ---
    "#);
}

#[test]
fn what_is_refused() {
    insta::assert_snapshot!(refusals(&[
        ("image.tag", ""),
        ("image.tag", "# nothing\n"),
        ("image.tag", "replicas: 1\n"),
        ("image.tag", "a: 1\nimage:\n  name: x\n"),
        ("image.tag", "image: x\n"),
        ("image.tag", "image:\n- tag: x\n"),
        ("images[2].tag", "images:\n- tag: x\n- tag: y\n"),
        ("image.tag", "a: 1\n---\nb: 1\n"),
        ("image.tag", "image:\n  tag:\n    name: x\n"),
        ("image.tag", "image:\n  tag: [x]\n"),
        ("image.tag", "image:\n  tag: {{ .Values.tag }}\n"),
        ("image.tag", "image:\n  tag: !!int 12\n"),
        ("image.tag", "image:\n  tag: !vault x\n"),
        ("image.tag", "image: {tag}\n"),
        ("a[0]", "a:\n-\n- b\n"),
        ("tag", "{\"tag\":#\n}\n"),
    ]), @r##"
    ""
        {"path_missing":{"path":"image.tag","exists":"","line":null}}
    "# nothing\n"
        {"path_missing":{"path":"image.tag","exists":"","line":null}}
    "replicas: 1\n"
        {"path_missing":{"path":"image.tag","exists":"","line":null}}
    "a: 1\nimage:\n  name: x\n"
        {"path_missing":{"path":"image.tag","exists":"image","line":2}}
    "image: x\n"
        {"path_missing":{"path":"image.tag","exists":"image","line":1}}
    "image:\n- tag: x\n"
        {"path_missing":{"path":"image.tag","exists":"image","line":1}}
    "images:\n- tag: x\n- tag: y\n"
        {"path_missing":{"path":"images[2].tag","exists":"images","line":1}}
    "a: 1\n---\nb: 1\n"
        {"path_missing":{"path":"image.tag","exists":"","line":null}}
    "image:\n  tag:\n    name: x\n"
        {"not_a_scalar":{"path":"image.tag","line":2}}
    "image:\n  tag: [x]\n"
        {"not_a_scalar":{"path":"image.tag","line":2}}
    "image:\n  tag: {{ .Values.tag }}\n"
        {"not_a_scalar":{"path":"image.tag","line":2}}
    "image:\n  tag: !!int 12\n"
        {"not_a_string":{"path":"image.tag","line":2,"tag":"!!int"}}
    "image:\n  tag: !vault x\n"
        {"not_a_string":{"path":"image.tag","line":2,"tag":"!vault"}}
    "image: {tag}\n"
        {"no_value":{"path":"image.tag","line":1}}
    "a:\n-\n- b\n"
        {"no_value":{"path":"a[0]","line":2}}
    "{\"tag\":#\n}\n"
        {"no_value":{"path":"tag","line":1}}
    "##);
    insta::assert_snapshot!(refusals(&[
        ("image.tag", "a: &a x\nimage:\n  tag: *a\n"),
        ("image.tag", "a: &a {tag: x}\nimage: *a\n"),
        ("image.tag", "a: &a tag\nimage:\n  tag: x\n  *a : y\n"),
        ("image.tag", "image:\n  tag: &a x\nb:\n  c: *a\n"),
        ("image.tag", "image: &a\n  tag: x\nb:\n  <<: *a\n"),
        ("image.tag", "image: &a\n  self: *a\n  tag: x\n"),
        ("image.tag", "a: &a {tag: x}\nimage:\n  <<: *a\n"),
        ("image.tag", "a: &a {image: {tag: x}}\n<<: *a\n"),
        ("image.tag", "image:\n  tag: x\n  tag: y\n"),
        ("image.tag", "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"),
        ("image.tag", "image:\n  tag: x\n---\nimage:\n  tag: y\n"),
    ]), @r#"
    "a: &a x\nimage:\n  tag: *a\n"
        {"alias":{"path":"image.tag","line":3}}
    "a: &a {tag: x}\nimage: *a\n"
        {"alias":{"path":"image.tag","line":2}}
    "a: &a tag\nimage:\n  tag: x\n  *a : y\n"
        {"alias":{"path":"image.tag","line":4}}
    "image:\n  tag: &a x\nb:\n  c: *a\n"
        {"used_elsewhere":{"path":"image.tag","line":4}}
    "image: &a\n  tag: x\nb:\n  <<: *a\n"
        {"used_elsewhere":{"path":"image.tag","line":4}}
    "image: &a\n  self: *a\n  tag: x\n"
        {"used_elsewhere":{"path":"image.tag","line":2}}
    "a: &a {tag: x}\nimage:\n  <<: *a\n"
        {"only_merged":{"path":"image.tag","line":3}}
    "a: &a {image: {tag: x}}\n<<: *a\n"
        {"only_merged":{"path":"image.tag","line":2}}
    "image:\n  tag: x\n  tag: y\n"
        {"duplicate_key":{"path":"image.tag","key":"image.tag","line":3}}
    "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"
        {"duplicate_key":{"path":"image.tag","key":"image","line":4}}
    "image:\n  tag: x\n---\nimage:\n  tag: y\n"
        {"several_documents":{"path":"image.tag","line":5}}
    "#);
    insta::assert_snapshot!(refusals(&[
        ("image.tag", "image:\n  tag: |\n    x\n"),
        ("image.tag", "image:\n  tag: >-\n    x\n"),
        ("image.tag", "image:\n  tag: x\n    y\n"),
        ("image.tag", "image:\n  tag: \"x\n    y\"\n"),
        ("image.tag", "image:\n  tag: !!str # c\n    \"x\"\n"),
        ("image.tag", "image:\n\ttag: x\n"),
        ("image.tag", "a: 1\nimage:\n  tag: \"x\n"),
        ("image.tag", "image:\n  tag: x\n{{- if .Values.a }}\nb: 1\n{{- end }}\n"),
        ("image.tag", "image:\n  tag: *x\n"),
        ("image.tag", "image:\n  tag: x\0y\n"),
        ("image.tag", "image:\n  tag: !!str &v:1 x\n"),
        ("image.tag", "%TAG !e! tag:example.com,2000:\n---\nimage:\n  tag: x\n"),
    ]), @r#"
    "image:\n  tag: |\n    x\n"
        {"multi_line":{"path":"image.tag","line":2}}
    "image:\n  tag: >-\n    x\n"
        {"multi_line":{"path":"image.tag","line":2}}
    "image:\n  tag: x\n    y\n"
        {"multi_line":{"path":"image.tag","line":2}}
    "image:\n  tag: \"x\n    y\"\n"
        {"multi_line":{"path":"image.tag","line":2}}
    "image:\n  tag: !!str # c\n    \"x\"\n"
        {"multi_line":{"path":"image.tag","line":2}}
    "image:\n\ttag: x\n"
        {"syntax":{"line":2,"problem":"tabs disallowed within this context (block indentation)"}}
    "a: 1\nimage:\n  tag: \"x\n"
        {"syntax":{"line":3,"problem":"while scanning a quoted scalar, found unexpected end of stream"}}
    "image:\n  tag: x\n{{- if .Values.a }}\nb: 1\n{{- end }}\n"
        {"syntax":{"line":3,"problem":"\"-\" is only valid inside a block"}}
    "image:\n  tag: *x\n"
        {"syntax":{"line":2,"problem":"while parsing node, found unknown anchor"}}
    "image:\n  tag: x\0y\n"
        {"syntax":{"line":2,"problem":"found unprintable character"}}
    "image:\n  tag: !!str &v:1 x\n"
        {"syntax":{"line":2,"problem":"an anchor whose name has other characters than a-z, 0-9, - and _"}}
    "%TAG !e! tag:example.com,2000:\n---\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"a directive other than %YAML"}}
    "#);
}

#[test]
fn what_is_no_text_is_refused() {
    assert_eq!(text_of("ä: ö\n".as_bytes()), Ok("ä: ö\n"));
    assert_eq!(text_of(b"a: 1\nb: \xff\n"), Err(EditRefusal::NotUtf8 { line: 2 }));
    assert_eq!(text_of(b"\xff\xfea\0"), Err(EditRefusal::NotUtf8 { line: 1 }));
    let large = "#".repeat(LARGEST + 1);
    let too_large = EditRefusal::TooLarge { bytes: LARGEST + 1, limit: LARGEST };
    assert_eq!(text_of(large.as_bytes()), Err(too_large.clone()));
    assert_eq!(set_tag(&large, &[TagPath::default()], TAG), Err(too_large));
}

#[test]
fn deep_nesting_is_refused() {
    let nested = |depth: usize| format!("tag: x\nb:\n  {}c\n", "- ".repeat(depth));
    assert!(set_tag(&nested(DEEPEST - 1), &[path("tag")], TAG).is_ok());
    let problem = "nested too deeply".to_owned();
    assert_eq!(refusal(&nested(DEEPEST), "tag"), EditRefusal::Syntax { line: 3, problem });
}

#[test]
fn only_a_tag_is_written() {
    for tag in ["", "a b", "a\"", "a\n", "ä", "a:b", "a/b", "{{"] {
        assert_eq!(set_tag("tag: x\n", &[path("tag")], tag), Err(EditRefusal::UnsafeTag), "{tag:?}");
    }
}

#[test]
fn the_same_tag_is_quoted_if_it_may_be_read_as_something_else() {
    let changed = |value: &str, tag: &str| {
        let edit = set_tag(&format!("tag: {value}\n"), &[path("tag")], tag).unwrap();
        assert!(edit.changed != (edit.text == format!("tag: {value}\n")));
        assert_eq!(edit.before, [tag]);
        edit.changed
    };
    for tag in ["main-abc1234", "v1.2.3", "1.2.3-abc", "_x", "nope", "0xyz-", "deadbeef", "12f-1234567"] {
        let number_like = tag.starts_with("0x");
        assert_eq!(changed(tag, tag), number_like, "{tag}");
    }
    for tag in [
        "12e-1234567",
        "72044e0",
        "1.10",
        "0123456",
        "58467965",
        "on",
        "Off",
        "NO",
        "y",
        "null",
        "True",
        "0x1f",
        "-0x1f",
        "0o17",
        "0b1",
        "1_0",
        "1e3",
        ".5",
        ".inf",
        "-.INF",
        ".NaN",
        "2024-01-02",
        "-1",
        "1.",
    ] {
        assert!(changed(tag, tag), "{tag}");
        assert!(!changed(&format!("\"{tag}\""), tag), "{tag}");
        assert!(!changed(&format!("'{tag}'"), tag), "{tag}");
        assert!(!changed(&format!("!!str {tag}"), tag), "{tag}");
    }
}

#[test]
fn one_changed_value_of_several_is_a_change() {
    let edit = set_tag("a: 'main-abc1234'\nb: x\n", &[path("b"), path("a"), path("b")], TAG).unwrap();
    assert_eq!(edit.text, "a: 'main-abc1234'\nb: \"main-abc1234\"\n");
    assert_eq!((edit.before, edit.changed), (vec!["x".to_owned(), TAG.to_owned(), "x".to_owned()], true));
}

#[test]
fn the_proof_sees_every_other_change() {
    let old = "a: &x 1 # c\nb: [u, 'v']\ntag: old\n";
    let scalars = scalars(old, &[path("tag")]).unwrap();
    let good = old.replace("old", "\"new\"");
    assert!(means_the_same_but_for(old, &good, &scalars, "new"));
    for (from, to) in [
        ("\"new\"", "new"),
        ("\"new\"", "'new'"),
        ("\"new\"", "\"other\""),
        ("\"new\"", "!!str \"new\""),
        ("\"new\"", "&y \"new\""),
        ("\"new\"", "\"new\"\nmore: 1"),
        ("&x 1", "1"),
        ("a: &x 1", "a: &x '1'"),
        ("a: &x 1 # c\n", ""),
        ("[u, 'v']", "['v', u]"),
        ("tag: \"new\"\n", ""),
        ("tag:", "\ttag: ["),
    ] {
        assert!(good.contains(from));
        assert!(!means_the_same_but_for(old, &good.replace(from, to), &scalars, "new"), "{from:?} -> {to:?}");
    }
    let splices = [(old.find("old").unwrap()..old.len() - 1, "\"new\"".to_owned())];
    assert!(differs_only_in(old, &good, &splices));
    for other in
        [good.replace('c', "d"), good.replace("new", "neu"), format!("{good} "), format!(" {good}"), old.to_owned()]
    {
        assert!(!differs_only_in(old, &other, &splices), "{other:?}");
    }
}

#[test]
fn a_blob_has_gits_id() {
    assert_eq!(blob_sha(b"hello\n").as_str(), "ce013625030ba8dba906f756967f9e9ca394464a");
    assert_eq!(blob_sha(b"").as_str(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

#[test]
fn refusals_can_be_stored() {
    let why = refusal("image:\n  tag: x\n  tag: y\n", "image.tag");
    let json = serde_json::to_string(&why).unwrap();
    insta::assert_snapshot!(json, @r#"{"duplicate_key":{"path":"image.tag","key":"image.tag","line":3}}"#);
    assert_eq!(serde_json::from_str::<EditRefusal>(&json).unwrap(), why);
}

/// A values file as text before the value, the value, and text after it.
#[derive(Clone, Debug)]
struct Generated {
    before: String,
    value: String,
    after: String,
}

prop_compose! {
    fn scalar()(text in "[a-z][a-z0-9.-]{0,12}", quote in prop_oneof![Just(""), Just("'"), Just("\"")]) -> String {
        format!("{quote}{text}{quote}")
    }
}

fn filler(indent: &'static str, key: &'static str) -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just(String::new()),
        "# [ -~äß漢]{0,20}".prop_map(move |comment| format!("{indent}{comment}")),
        (0..1000_u32, scalar(), prop_oneof![Just(""), Just("  # note: ünï"), Just("  ")])
            .prop_map(move |(n, value, end)| format!("{indent}{key}{n}: {value}{end}")),
        (0..1000_u32, scalar())
            .prop_map(move |(n, value)| format!("{indent}{key}{n}: {{tag: {value}, \"b\": [1, ü]}}")),
        (0..1000_u32, scalar()).prop_map(move |(n, value)| format!(
            "{indent}{key}{n}:\n{indent}  - tag: {value}\n{indent}  - |\n{indent}    tag: 1"
        )),
    ];
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.iter().map(|line| format!("{line}\n")).collect())
}

prop_compose! {
    fn generated()(
        bom in prop_oneof![3 => Just(""), 1 => Just("\u{FEFF}")],
        top in filler("", "x"),
        image in prop_oneof![Just("image:"), Just("'image':"), Just("\"image\": # the image")],
        above in filler("  ", "y"),
        key in prop_oneof![Just("  tag: "), Just("  \"tag\":   "), Just("  tag: &t "), Just("  tag: !!str ")],
        value in scalar(),
        end in prop_oneof![Just("\n"), Just("   \n"), Just(" # ünï 'x' \"y\"\n")],
        below in filler("  ", "z"),
        bottom in filler("", "w"),
        crlf: bool,
        newline: bool,
    ) -> Generated {
        let mut after = format!("{end}{below}{bottom}");
        if !newline {
            after.truncate(after.trim_end_matches('\n').len());
        }
        let file = Generated { before: format!("{bom}{top}{image}\n{above}{key}"), value, after };
        let end = |text: String| if crlf { text.replace('\n', "\r\n") } else { text };
        Generated { before: end(file.before), value: file.value, after: end(file.after) }
    }
}

/// Text that is nearly YAML: what a parser of YAML may stumble over.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "image",
            "tag",
            ":",
            ": ",
            "\n",
            "\n  ",
            "\n    ",
            "\r\n",
            "\r",
            "\t",
            " ",
            "- ",
            "-",
            "? ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "'",
            "\"",
            "&a ",
            "*a",
            "*a ",
            "!!str ",
            "!",
            "!<",
            "%",
            "%TAG",
            "%YAML 1.2\n",
            "---\n",
            "---",
            "...\n",
            "|",
            ">",
            "|2-\n",
            "#",
            " # c",
            "<<: ",
            "\\",
            "\\u12",
            "\u{FEFF}",
            "\0",
            "ä",
            "漢",
            "~",
            "image:\n  tag: x\n",
            "1",
            "@",
            "`",
            "%C3%A4",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_but_the_value_changes(file in generated(), tag in "[A-Za-z0-9_.-]{1,20}") {
        let Generated { before, value, after } = &file;
        let at = [TagPath::default()];
        let edit = set_tag(&format!("{before}{value}{after}"), &at, &tag).unwrap();
        let quote = if value.starts_with('\'') { '\'' } else { '"' };
        if edit.changed {
            prop_assert_eq!(&edit.text, &format!("{before}{quote}{tag}{quote}{after}"));
        } else {
            prop_assert_eq!(&edit.text, &format!("{before}{value}{after}"));
        }
        prop_assert_eq!(&edit.before, &[value.trim_matches(['\'', '"'])]);
        prop_assert_eq!(read_tags(&edit.text, &at).unwrap(), [tag.clone()]);
        prop_assert!(!set_tag(&edit.text, &at, &tag).unwrap().changed);
    }

    #[test]
    fn no_text_is_edited_wrongly(text in soup(), at in prop::sample::select(vec!["image.tag", "tag", "image[0]", "[0]", "image"])) {
        match set_tag(&text, &[path(at)], TAG) {
            Ok(edit) => prop_assert_eq!(read_tags(&edit.text, &[path(at)]).unwrap(), [TAG]),
            Err(why) => prop_assert!(!matches!(why, EditRefusal::Unproven { .. }), "{:?}", why),
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>, at: String) {
        let at = TagPath::parse(&at).unwrap_or_default();
        prop_assert_eq!(TagPath::parse(&at.to_string()), Ok(at.clone()));
        if let Ok(text) = text_of(&bytes) {
            drop(set_tag(text, &[at], TAG));
        }
    }

    #[test]
    fn a_path_is_what_it_prints(text in "[a-c.\\[\\]0-2\" ]{0,12}") {
        if let Ok(at) = TagPath::parse(&text) {
            prop_assert_eq!(TagPath::parse(&at.to_string()), Ok(at));
        }
    }
}
