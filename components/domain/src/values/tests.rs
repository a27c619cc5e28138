//! What is edited and how, and what is refused.

#![expect(clippy::too_many_lines, reason = "tables of what goes in and what comes out")]

use super::edit::{Change, differs_only_in, means_the_same_but_for};
use super::tree::{DEEPEST, Form, MOST_NODES};
use super::{set_tag as set_tag_of, *};
use proptest::prelude::*;
use std::fmt::Write;

mod digests;
mod shapes;

const TAG: &str = "main-abc1234";

fn path(text: &str) -> TagPath {
    TagPath::parse(text).unwrap()
}

fn image(text: &str) -> ImageName {
    ImageName::parse(text).unwrap()
}

/// `ghcr.io/acme/checkout`, which a mirror has, too.
fn ours<T>(run: impl FnOnce(OurImage<'_>) -> T) -> T {
    let (name, mirrors) = (image("ghcr.io/acme/checkout"), [image("mirror.corp:5000/shop/checkout")]);
    run(OurImage { name: &name, mirrors: &mirrors })
}

fn set_tag(text: &str, at: &[TagPath], tag: &str) -> Result<Edit, EditRefusal> {
    ours(|ours| set_tag_of(text, At::tags(at), ours, Version { tag, digest: None }))
}

fn read_tags(text: &str, at: &[TagPath]) -> Result<Vec<String>, EditRefusal> {
    Ok(ours(|ours| read_written(text, At::tags(at), ours))?.tags)
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
    assert_eq!(read_tags(text, &at).unwrap(), edit.before.tags);
    let again = set_tag(&edit.text, &at, TAG).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (edit.text.as_str(), false), "a second edit has nothing to do");
    let show = |text: &str| {
        let seen = text.replace('\r', "␍").replace('\u{FEFF}', "<BOM>").replace('\u{85}', "\\u{85}");
        if seen.ends_with('\n') { seen } else { format!("{seen}<no newline>\n") }
    };
    format!("--- before: {:?}\n{}--- after\n{}---", edit.before.tags, show(text), show(&edit.text))
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
        ("images[name=checkout].newTag", "images[name=checkout].newTag"),
        ("images[\"name\"=\"checkout\"].newTag", "images[name=checkout].newTag"),
        ("images[name=ghcr.io/acme/checkout].newTag", "images[name=ghcr.io/acme/checkout].newTag"),
        ("[\"a=b\"=\"c d\"][app.kubernetes.io/name=x]", "[\"a=b\"=\"c d\"][app.kubernetes.io/name=x]"),
        ("a[name=0]", "a[name=0]"),
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
        "a[=x]",
        "a[name=]",
        "a[name=x",
        "a[name=x=y]",
        "a[name=x]b",
        "a[na me=x]",
        "a[name=x[0]]",
        "a[name='x']",
        "a[\"\"=x]",
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
    insta::assert_snapshot!(fences(&["image.tag"], "image: {repository: ghcr.io/acme/checkout, tag: 'old', pullPolicy: Always}"), @r#"
    --- before: ["old"]
    image: {repository: ghcr.io/acme/checkout, tag: 'old', pullPolicy: Always}<no newline>
    --- after
    image: {repository: ghcr.io/acme/checkout, tag: 'main-abc1234', pullPolicy: Always}<no newline>
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
    insta::assert_snapshot!(fences(&["a", "b.c"], "a:\nb: {c: , d: e}\n"), @r#"
    --- before: ["", ""]
    a:
    b: {c: , d: e}
    --- after
    a: "main-abc1234"
    b: {c: "main-abc1234" , d: e}
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
        ("image.tag", "b: &b {tag: y}\nimage:\n  tag: x\n  <<: *b\n"),
        ("image.tag", "b: &b {image: {tag: y}}\nc: &c {d: 1, <<: *b}\nimage:\n  tag: x\n<<: [{e: 1}, *c]\n"),
        ("image.tag", "b: &b {repository: evil}\nimage:\n  tag: x\n  repository: a/x\n  <<: *b\n"),
        ("a[name=x].tag", "b: &b {name: y}\na:\n- {name: x, tag: 1, <<: *b}\n"),
        ("image.tag", "image:\n  tag: x\n  tag: y\n"),
        ("image.tag", "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"),
        ("image.tag", "image:\n  tag: x\n---\nimage:\n  tag: y\n"),
        ("a[name=x].tag", "a:\n- {name: x, tag: 1}\n- {name: y, tag: 2}\n- {tag: 3, name: x}\n"),
        ("a[name=z].tag", "a:\n- {name: x, tag: 1}\n- z\n"),
        ("a[name=z].tag", "a: {name: z, tag: 1}\n"),
        ("a[name=z].name", "a:\n- {name: z}\n"),
        ("a[name=z].name", "a:\n- {b: &b z}\n- {name: *b}\n"),
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
    "b: &b {tag: y}\nimage:\n  tag: x\n  <<: *b\n"
        {"merged_over":{"path":"image.tag","key":"image.tag","line":4}}
    "b: &b {image: {tag: y}}\nc: &c {d: 1, <<: *b}\nimage:\n  tag: x\n<<: [{e: 1}, *c]\n"
        {"merged_over":{"path":"image.tag","key":"image","line":5}}
    "b: &b {repository: evil}\nimage:\n  tag: x\n  repository: a/x\n  <<: *b\n"
        {"merged_over":{"path":"image.tag","key":"image.repository","line":5}}
    "b: &b {name: y}\na:\n- {name: x, tag: 1, <<: *b}\n"
        {"merged_over":{"path":"a[name=x].tag","key":"a[name=x]","line":3}}
    "image:\n  tag: x\n  tag: y\n"
        {"duplicate_key":{"path":"image.tag","key":"image.tag","line":3}}
    "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"
        {"duplicate_key":{"path":"image.tag","key":"image","line":4}}
    "image:\n  tag: x\n---\nimage:\n  tag: y\n"
        {"several_documents":{"path":"image.tag","line":5}}
    "a:\n- {name: x, tag: 1}\n- {name: y, tag: 2}\n- {tag: 3, name: x}\n"
        {"several_items":{"path":"a[name=x].tag","item":"a[name=x]","line":4}}
    "a:\n- {name: x, tag: 1}\n- z\n"
        {"path_missing":{"path":"a[name=z].tag","exists":"a","line":1}}
    "a: {name: z, tag: 1}\n"
        {"path_missing":{"path":"a[name=z].tag","exists":"a","line":1}}
    "a:\n- {name: z}\n"
        {"chooses_item":{"path":"a[name=z].name","by":"a[name=z].name","line":2}}
    "a:\n- {b: &b z}\n- {name: *b}\n"
        {"chooses_item":{"path":"a[name=z].name","by":"a[name=z].name","line":3}}
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
        ("image.tag", "image:\n  tag: !!str \u{85}x\n"),
        ("image.tag", "image: {tag:, b: c}\n"),
        ("image.tag", "image:\n\t\n  tag: x\n"),
        ("image.tag", "image:\n  tag: x\n    \t\n"),
        ("image.tag", "a: [!b, c]\nimage:\n  tag: x\n"),
        ("image.tag", "%YAML 1.3\n---\nimage:\n  tag: x\n"),
        ("image.tag", "%YAML 1.2\n---\nimage:\n  tag: x\n"),
        ("image.tag", "image: {tag: x}\n\u{feff}b: c\n"),
        ("image.tag", "a: [http://b/?c=d]\nimage:\n  tag: x\n"),
        ("image.tag", "image: {a: \"b\\\\/\", repository: \"ghcr.io\\/acme/checkout\", tag: x}\n"),
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
        {"syntax":{"line":2,"problem":"a tab as indentation"}}
    "a: 1\nimage:\n  tag: \"x\n"
        {"syntax":{"line":3,"problem":"while scanning a quoted scalar, found unexpected end of stream"}}
    "image:\n  tag: x\n{{- if .Values.a }}\nb: 1\n{{- end }}\n"
        {"syntax":{"line":3,"problem":"while scanning a simple key, could not find expected ':'"}}
    "image:\n  tag: *x\n"
        {"syntax":{"line":2,"problem":"an alias whose anchor is not above it"}}
    "image:\n  tag: x\0y\n"
        {"syntax":{"line":2,"problem":"control characters are not allowed"}}
    "image:\n  tag: !!str &v:1 x\n"
        {"syntax":{"line":2,"problem":"an anchor whose name has other characters than a-z, 0-9, - and _"}}
    "image:\n  tag: !!str \u{85}x\n"
        {"syntax":{"line":3,"problem":"while scanning a simple key, could not find expected ':'"}}
    "image: {tag:, b: c}\n"
        {"syntax":{"line":1,"problem":"while scanning a plain scalar, found unexpected ':'"}}
    "image:\n\t\n  tag: x\n"
        {"syntax":{"line":2,"problem":"a tab as indentation"}}
    "image:\n  tag: x\n    \t\n"
        {"syntax":{"line":2,"problem":"a tab in a blank line after the value"}}
    "a: [!b, c]\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"a comma right after a type"}}
    "%YAML 1.3\n---\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"found incompatible YAML document"}}
    "%YAML 1.2\n---\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"a version of YAML other than 1.1"}}
    "image: {tag: x}\n\u{feff}b: c\n"
        {"syntax":{"line":2,"problem":"a byte order mark within the text"}}
    "a: [http://b/?c=d]\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"a ? in brackets and without quotes"}}
    "image: {a: \"b\\\\/\", repository: \"ghcr.io\\/acme/checkout\", tag: x}\n"
        {"syntax":{"line":1,"problem":"the escape \\/, which Helm does not know"}}
    "%TAG !e! tag:example.com,2000:\n---\nimage:\n  tag: x\n"
        {"syntax":{"line":1,"problem":"a directive other than %YAML"}}
    "#);
}

#[test]
fn an_item_is_chosen_by_its_key() {
    let kustomization =
        "images:\n- newTag: one\n  name: ghcr.io/acme/search\n- newTag: two\n  name: ghcr.io/acme/checkout\n";
    for at in ["images[name=ghcr.io/acme/checkout].newTag", "images[1].newTag"] {
        let edit = set_tag(kustomization, &[path(at)], TAG).unwrap();
        assert_eq!(edit.text, kustomization.replace("two", "\"main-abc1234\""));
    }
    // The value may be written in any way; a list of lists and an alias are no obstacle.
    let text =
        "a:\n- &x {name: 'app', tags: [{k: 1, tag: o}, {k: 0x2, tag: old}]}\n- [name, app]\n- {name: other}\nb: 1\n";
    let edit = set_tag(text, &[path("a[name=app].tags[k=0x2].tag")], TAG).unwrap();
    assert_eq!(edit.text, text.replace("old", "\"main-abc1234\""));
    // What is wrong with another item does not matter.
    let text = "a:\n- name: other\n  tag: |\n    x\n- tag: x\n  name: app\n";
    assert_eq!(set_tag(text, &[path("a[name=app].tag")], TAG).unwrap().before.tags, ["x"]);
    // Of several documents, the one that has it.
    let text = "a: [{name: other, tag: x}]\n---\na: [{name: b}, {name: app, tag: y}]\n";
    assert_eq!(set_tag(text, &[path("a[name=app].tag")], TAG).unwrap().before.tags, ["y"]);
}

/// What is written, and where in the text; the rest is as it was.
fn written(at: &str, text: &str) -> String {
    let edit = set_tag(text, &[path(at)], TAG).unwrap_or_else(|why| panic!("{why:?}: {text}"));
    let changed = text.lines().zip(edit.text.lines()).filter(|(old, new)| old != new);
    let changed: Vec<String> = changed.map(|(old, new)| format!("{} => {}", old.trim(), new.trim())).collect();
    assert_eq!(text.lines().count(), edit.text.lines().count());
    assert_eq!(read_tags(&edit.text, &[path(at)]).unwrap(), [TAG]);
    assert!(!set_tag(&edit.text, &[path(at)], TAG).unwrap().changed);
    changed.join("; ")
}

#[test]
fn the_tag_of_a_whole_image_is_written_and_nothing_else() {
    let digest = format!("@sha256:{}", "0".repeat(64));
    let check = |old: &str, new: &str, before: &str| {
        let text = format!("a: 1 # ü\nimage: {old} # by hand\nb: 2\n");
        let edit = set_tag(&text, &[path("image")], TAG).unwrap();
        assert_eq!(edit.text, format!("a: 1 # ü\nimage: {new} # by hand\nb: 2\n"));
        assert_eq!((edit.before.tags.as_slice(), edit.changed), ([before.to_owned()].as_slice(), old != new));
        assert_eq!(read_tags(&edit.text, &[path("image")]).unwrap(), [TAG]);
        assert!(!set_tag(&edit.text, &[path("image")], TAG).unwrap().changed);
    };
    let new = "ghcr.io/acme/checkout:main-abc1234";
    check("ghcr.io/acme/checkout:main-1234567", new, "main-1234567");
    check("'ghcr.io/acme/checkout:main-1'", &format!("'{new}'"), "main-1");
    check("\"ghcr.io/acme/checkout:main-1\"", &format!("\"{new}\""), "main-1");
    check("!!str ghcr.io/acme/checkout:main-1", &format!("!!str {new}"), "main-1");
    check(&format!("ghcr.io/acme/checkout{digest}"), new, digest.trim_start_matches('@'));
    check(&format!("ghcr.io/acme/checkout:v1{digest}"), new, &format!("v1{digest}"));
    check(&format!("{new}{digest}"), new, &format!("main-abc1234{digest}"));
    check(new, new, TAG);
    // As written: the host in any case, the port, the mirror.
    check("GHCR.io/acme/checkout:main-1", "GHCR.io/acme/checkout:main-abc1234", "main-1");
    check("mirror.corp:5000/shop/checkout:v1", "mirror.corp:5000/shop/checkout:main-abc1234", "v1");
    check("mirror.corp:5000/shop/checkout", "mirror.corp:5000/shop/checkout:main-abc1234", "");
    // Without a colon it gets quotes: an older reader of YAML may not like one in a list.
    check("ghcr.io/acme/checkout", &format!("\"{new}\""), "");
    let flow = set_tag("{image: ghcr.io/acme/checkout:v1, b: [c]}", &[path("image")], TAG).unwrap();
    assert_eq!(flow.text, format!("{{image: {new}, b: [c]}}"));
    let list =
        set_tag("images: [ghcr.io/acme/search:v1, ghcr.io/acme/checkout:v1]", &[path("images[1]")], TAG).unwrap();
    assert_eq!(list.text, format!("images: [ghcr.io/acme/search:v1, {new}]"));
}

#[test]
fn the_short_names_of_docker_hub_are_one_image() {
    let nginx = image("nginx");
    let ours = OurImage { name: &nginx, mirrors: &[] };
    let set = |text: &str, at: &str| {
        set_tag_of(text, At::tags(&[path(at)]), ours, Version { tag: "1.2-abc1234", digest: None })
            .map(|edit| edit.text)
    };
    for name in ["nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx", "index.docker.io/nginx"] {
        let whole = |tag: &str| format!("image: {name}:{tag}\n");
        assert_eq!(set(&whole("1"), "image"), Ok(whole("1.2-abc1234")));
        let beside = |tag: &str| format!("image:\n  repository: {name}\n  tag: {tag}\n");
        assert_eq!(set(&beside("1"), "image.tag"), Ok(beside("\"1.2-abc1234\"")));
    }
    assert_eq!(set("image: nginx\n", "image"), Ok("image: \"nginx:1.2-abc1234\"\n".to_owned()));
    // A tag that is called as the image.
    let text = |tag: &str| format!("image: {{repository: nginx, tag: {tag}}}\n");
    assert_eq!(set(&text("nginx"), "image.tag"), Ok(text("\"1.2-abc1234\"")));
    // A number to the base of 60, if it stood there without quotes.
    let number = image("190");
    let ours = OurImage { name: &number, mirrors: &[] };
    let edit =
        set_tag_of("image: 190:20\n", At::tags(&[path("image")]), ours, Version { tag: "30", digest: None }).unwrap();
    assert_eq!(edit.text, "image: \"190:30\"\n");
}

/// Files as people have them, with our image in them.
#[test]
fn real_files_with_our_image() {
    let shapes: &[(&str, &str, &str)] = &[
        (
            "helm create",
            "image.tag",
            "replicaCount: 1\nimage:\n  repository: ghcr.io/acme/checkout\n  pullPolicy: IfNotPresent\n  # Overrides the image tag whose default is the chart appVersion.\n  tag: \"\"\nimagePullSecrets: []\nnameOverride: \"\"\n",
        ),
        (
            "bitnami",
            "image.tag",
            "image:\n  registry: ghcr.io\n  repository: acme/checkout\n  tag: v1\n  digest: \"\"\n  pullPolicy: IfNotPresent\n  pullSecrets: []\n",
        ),
        (
            "bitnami with a registry for all",
            "image.tag",
            "global:\n  imageRegistry: ghcr.io\nimage:\n  repository: acme/checkout\n  tag: v1\n",
        ),
        (
            "bitnami in an umbrella chart, by way of the mirror",
            "checkout.image.tag",
            "global: {imageRegistry: \"mirror.corp:5000\"}\ncheckout:\n  image: {registry: \"mirror.corp:5000\", repository: shop/checkout, tag: v1, digest: null}\n",
        ),
        (
            "ingress-nginx",
            "controller.image.tag",
            "controller:\n  image:\n    chroot: false\n    registry: ghcr.io\n    image: acme/checkout\n    tag: v1\n    digest:\n",
        ),
        (
            "kube-prometheus-stack, Grafana",
            "image.tag",
            "image:\n  registry: ghcr.io\n  repository: acme/checkout\n  tag: v1\n  sha: \"\"\n",
        ),
        (
            "the id of a commit is no digest",
            "image.tag",
            "image:\n  repository: ghcr.io/acme/checkout\n  tag: v1\n  sha: 0123456789abcdef0123456789abcdef01234567\n",
        ),
        ("Strimzi", "image.tag", "image:\n  registry: ghcr.io\n  repository: acme\n  name: checkout\n  tag: v1\n"),
        ("flat", "imageTag", "image: ghcr.io/acme/checkout\nimageTag: v1\nimagePullPolicy: Always\n"),
        (
            "flat, more words",
            "checkout_tag",
            "repository: ghcr.io/acme/other\ncheckout_registry: ghcr.io\ncheckout_repository: acme/checkout\ncheckout_tag: v1\n",
        ),
        (
            "app-template, with a digest in the tag",
            "controllers.main.containers.app.image.tag",
            "controllers:\n  main:\n    containers:\n      app:\n        image:\n          repository: ghcr.io/acme/checkout\n          tag: 1.2.3@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        ),
        (
            "the name of a container",
            "containers[name=app].tag",
            "containers:\n- name: proxy\n  image: docker.io/envoyproxy/envoy\n  tag: v1.30\n- name: app\n  tag: v1\n  ports: [{name: http}]\n",
        ),
        ("no name at all", "services.checkout.version", "services: {checkout: {version: v1}, search: {version: v2}}\n"),
        (
            "kustomize",
            "images[name=ghcr.io/acme/checkout].newTag",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\nimages:\n  - name: ghcr.io/acme/checkout\n    newTag: v1\n  - name: docker.io/library/redis\n    newTag: \"7\"\n",
        ),
        (
            "kustomize with a name of its own",
            "images[name=checkout].newTag",
            "images:\n- name: checkout\n  newName: ghcr.io/acme/checkout\n  newTag: v1\n  digest: \"\"\n",
        ),
        (
            "a Deployment",
            "spec.template.spec.containers[name=checkout].image",
            "apiVersion: v1\nkind: Service\nmetadata: {name: checkout}\n---\napiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: envoy\n          image: envoyproxy/envoy:v1.30\n        - name: checkout\n          image: ghcr.io/acme/checkout:v1 # by /deploy\n          env: [{name: VERSION, value: v1}]\n",
        ),
        (
            "a variable of a container",
            "containers[name=checkout].env[name=VERSION].value",
            "containers:\n- name: checkout\n  env:\n  - {name: VERSION, value: v1}\n",
        ),
        (
            "parameters of a HelmRelease",
            "spec.parameters[name=image.tag].value",
            "spec:\n  parameters:\n  - {name: image.repository, value: ghcr.io/acme/checkout}\n  - {name: image.tag, value: v1, forceString: true}\n",
        ),
        (
            "anchors for the repository",
            "web.image.tag",
            "x-repository: &repository ghcr.io/acme/checkout\nweb:\n  image:\n    repository: *repository\n    tag: v1\n",
        ),
        (
            "a merged image",
            "web.image.tag",
            "x-image: &image\n  repository: ghcr.io/acme/checkout\n  tag: none\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000\nweb:\n  image:\n    <<: *image\n    digest: null\n    tag: v1\n",
        ),
    ];
    let all = shapes.iter().fold(String::new(), |mut all, (name, at, text)| {
        writeln!(all, "{name}: {}", written(at, text)).unwrap();
        all
    });
    insta::assert_snapshot!(all, @r#"
    helm create: tag: "" => tag: "main-abc1234"
    bitnami: tag: v1 => tag: "main-abc1234"
    bitnami with a registry for all: tag: v1 => tag: "main-abc1234"
    bitnami in an umbrella chart, by way of the mirror: image: {registry: "mirror.corp:5000", repository: shop/checkout, tag: v1, digest: null} => image: {registry: "mirror.corp:5000", repository: shop/checkout, tag: "main-abc1234", digest: null}
    ingress-nginx: tag: v1 => tag: "main-abc1234"
    kube-prometheus-stack, Grafana: tag: v1 => tag: "main-abc1234"
    the id of a commit is no digest: tag: v1 => tag: "main-abc1234"
    Strimzi: tag: v1 => tag: "main-abc1234"
    flat: imageTag: v1 => imageTag: "main-abc1234"
    flat, more words: checkout_tag: v1 => checkout_tag: "main-abc1234"
    app-template, with a digest in the tag: tag: 1.2.3@sha256:0000000000000000000000000000000000000000000000000000000000000000 => tag: "main-abc1234"
    the name of a container: tag: v1 => tag: "main-abc1234"
    no name at all: services: {checkout: {version: v1}, search: {version: v2}} => services: {checkout: {version: "main-abc1234"}, search: {version: v2}}
    kustomize: newTag: v1 => newTag: "main-abc1234"
    kustomize with a name of its own: newTag: v1 => newTag: "main-abc1234"
    a Deployment: image: ghcr.io/acme/checkout:v1 # by /deploy => image: ghcr.io/acme/checkout:main-abc1234 # by /deploy
    a variable of a container: - {name: VERSION, value: v1} => - {name: VERSION, value: "main-abc1234"}
    parameters of a HelmRelease: - {name: image.tag, value: v1, forceString: true} => - {name: image.tag, value: "main-abc1234", forceString: true}
    anchors for the repository: tag: v1 => tag: "main-abc1234"
    a merged image: tag: v1 => tag: "main-abc1234"
    "#);
}

/// The same files, and somebody has put another image there, or a digest.
#[test]
fn an_image_that_is_not_ours_is_named_with_its_line() {
    insta::assert_snapshot!(refusals(&[
        // Whole images.
        ("image", "a: 1\nimage: ghcr.io/eve/checkout:v1\n"),
        ("image", "image: ghcr.io/acme/checkout2:v1\n"),
        ("image", "image: acme/checkout:v1\n"),
        ("image", "image: \"{{ .Values.registry }}/acme/checkout:v1\"\n"),
        ("containers[0].image", "containers:\n- name: app\n  image: redis\n"),
        ("containers[0].image", "containers:\n- name: app\n  image:\n"),
        // Beside the tag.
        ("image.tag", "image:\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"),
        ("image.tag", "image:\n  tag: v1\n  repository: acme/checkout\n"),
        ("image.tag", "image: {registry: evil.example, repository: acme/checkout, tag: v1}\n"),
        ("image.tag", "image: {registry: evil.example, repository: ghcr.io/acme/checkout, tag: v1}\n"),
        ("image.tag", "global: {imageRegistry: evil.example}\nimage: {registry: ghcr.io, repository: acme/checkout, tag: v1}\n"),
        ("image.tag", "global: {image: {registry: evil.example}}\nimage: {repository: acme/checkout, tag: v1}\n"),
        ("image.tag", "image: {repository: ghcr.io/eve, name: checkout, tag: v1}\n"),
        ("image.tag", "image: {registry: ghcr.io, name: eve, tag: v1}\n"),
        ("image.tag", "image: {name: ghcr.io/eve/checkout, tag: v1}\n"),
        ("a.tag", "a:\n  tag: v1\n  image: ghcr.io/eve/checkout\n"),
        ("imageTag", "imageTag: v1\nimageRepository: ghcr.io/eve/checkout\n"),
        ("image.tag", "image: {repository: ghcr.io/acme/checkout, image: ghcr.io/eve/checkout, tag: v1}\n"),
        ("images[0].newTag", "images:\n- name: ghcr.io/acme/checkout\n  newName: ghcr.io/eve/checkout\n  newTag: v1\n"),
        ("images[0].newTag", "images:\n- name: redis\n  newTag: v1\n"),
        ("image.tag", "a: &a ghcr.io/eve/checkout\nimage: {repository: *a, tag: v1}\n"),
        ("image.tag", "a: &a {repository: ghcr.io/eve/checkout}\nb: &b {<<: *a}\nimage:\n  <<: [*b]\n  tag: v1\n"),
        ("image.tag", "image:\n  <<: {repository: ghcr.io/eve/checkout}\n  tag: v1\n"),
        ("image.tag", "image:\n  repository: ghcr.io/acme/checkout\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"),
        ("image.tag", "image:\n  Repository: ghcr.io/acme/checkout\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"),
    ]), @r#"
    "a: 1\nimage: ghcr.io/eve/checkout:v1\n"
        {"other_image":{"path":"image","at":"image","line":2,"found":"ghcr.io/eve/checkout:v1","expected":"ghcr.io/acme/checkout"}}
    "image: ghcr.io/acme/checkout2:v1\n"
        {"other_image":{"path":"image","at":"image","line":1,"found":"ghcr.io/acme/checkout2:v1","expected":"ghcr.io/acme/checkout"}}
    "image: acme/checkout:v1\n"
        {"other_image":{"path":"image","at":"image","line":1,"found":"acme/checkout:v1","expected":"ghcr.io/acme/checkout"}}
    "image: \"{{ .Values.registry }}/acme/checkout:v1\"\n"
        {"other_image":{"path":"image","at":"image","line":1,"found":"{{ .Values.registry }}/acme/checkout:v1","expected":"ghcr.io/acme/checkout"}}
    "containers:\n- name: app\n  image: redis\n"
        {"other_image":{"path":"containers[0].image","at":"containers[0].image","line":3,"found":"redis","expected":"ghcr.io/acme/checkout"}}
    "containers:\n- name: app\n  image:\n"
        {"other_image":{"path":"containers[0].image","at":"containers[0].image","line":3,"found":"","expected":"ghcr.io/acme/checkout"}}
    "image:\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":3,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "image:\n  tag: v1\n  repository: acme/checkout\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":3,"found":"acme/checkout","expected":"ghcr.io/acme/checkout"}}
    "image: {registry: evil.example, repository: acme/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":1,"found":"evil.example/acme/checkout","expected":"ghcr.io/acme/checkout"}}
    "image: {registry: evil.example, repository: ghcr.io/acme/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":1,"found":"evil.example/ghcr.io/acme/checkout","expected":"ghcr.io/acme/checkout"}}
    "global: {imageRegistry: evil.example}\nimage: {registry: ghcr.io, repository: acme/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":2,"found":"evil.example/acme/checkout","expected":"ghcr.io/acme/checkout"}}
    "global: {image: {registry: evil.example}}\nimage: {repository: acme/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":2,"found":"evil.example/acme/checkout","expected":"ghcr.io/acme/checkout"}}
    "image: {repository: ghcr.io/eve, name: checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":1,"found":"ghcr.io/eve","expected":"ghcr.io/acme/checkout"}}
    "image: {registry: ghcr.io, name: eve, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.name","line":1,"found":"ghcr.io/eve","expected":"ghcr.io/acme/checkout"}}
    "image: {name: ghcr.io/eve/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.name","line":1,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "a:\n  tag: v1\n  image: ghcr.io/eve/checkout\n"
        {"other_image":{"path":"a.tag","at":"a.image","line":3,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "imageTag: v1\nimageRepository: ghcr.io/eve/checkout\n"
        {"other_image":{"path":"imageTag","at":"imageRepository","line":2,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "image: {repository: ghcr.io/acme/checkout, image: ghcr.io/eve/checkout, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.image","line":1,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "images:\n- name: ghcr.io/acme/checkout\n  newName: ghcr.io/eve/checkout\n  newTag: v1\n"
        {"other_image":{"path":"images[0].newTag","at":"images[0].newName","line":3,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "images:\n- name: redis\n  newTag: v1\n"
        {"other_image":{"path":"images[0].newTag","at":"images[0].name","line":2,"found":"redis","expected":"ghcr.io/acme/checkout"}}
    "a: &a ghcr.io/eve/checkout\nimage: {repository: *a, tag: v1}\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":2,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "a: &a {repository: ghcr.io/eve/checkout}\nb: &b {<<: *a}\nimage:\n  <<: [*b]\n  tag: v1\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":1,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "image:\n  <<: {repository: ghcr.io/eve/checkout}\n  tag: v1\n"
        {"other_image":{"path":"image.tag","at":"image.repository","line":2,"found":"ghcr.io/eve/checkout","expected":"ghcr.io/acme/checkout"}}
    "image:\n  repository: ghcr.io/acme/checkout\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"
        {"duplicate_key":{"path":"image.tag","key":"image.repository","line":4}}
    "image:\n  Repository: ghcr.io/acme/checkout\n  tag: v1\n  repository: ghcr.io/eve/checkout\n"
        {"duplicate_key":{"path":"image.tag","key":"image.repository","line":4}}
    "#);
    let digest = format!("sha256:{}", "0".repeat(64));
    let files = [
        ("image", format!("image: {digest}\n")),
        ("image.tag", format!("image:\n  tag: v1\n  digest: {digest}\n")),
        ("image.tag", format!("image: {{tag: v1, sha: '{}'}}\n", "0".repeat(64))),
        ("imageTag", format!("imageTag: v1\nimageDigest: {digest}\n")),
        ("images[0].newTag", format!("images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n  digest: {digest}\n")),
        ("image.tag", format!("a: &a {{digest: '{digest}'}}\nimage:\n  <<: *a\n  tag: v1\n")),
        ("image", format!("image: ghcr.io/acme/checkout:v1\ndigest: {digest}\n")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(at, text)| (*at, text.as_str())).collect();
    insta::assert_snapshot!(refusals(&files), @r#"
    "image: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
        {"digest":{"path":"image","at":"image","line":1}}
    "image:\n  tag: v1\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
        {"digest":{"path":"image.tag","at":"image.digest","line":3}}
    "image: {tag: v1, sha: '0000000000000000000000000000000000000000000000000000000000000000'}\n"
        {"digest":{"path":"image.tag","at":"image.sha","line":1}}
    "imageTag: v1\nimageDigest: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
        {"digest":{"path":"imageTag","at":"imageDigest","line":2}}
    "images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
        {"digest":{"path":"images[0].newTag","at":"images[0].digest","line":4}}
    "a: &a {digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}\nimage:\n  <<: *a\n  tag: v1\n"
        {"digest":{"path":"image.tag","at":"image.digest","line":1}}
    "image: ghcr.io/acme/checkout:v1\ndigest: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
        {"digest":{"path":"image","at":"digest","line":2}}
    "#);
}

#[test]
fn endless_and_many_merges_are_refused() {
    let endless = "image: &a\n  <<: *a\n  tag: v1\n";
    assert!(matches!(refusal(endless, "image.tag"), EditRefusal::UsedElsewhere { .. }));
    let around = "a: &a {<<: &b {<<: *a}}\nimage:\n  <<: *b\n  tag: v1\n";
    assert!(set_tag(around, &[TagPath::default()], TAG).is_err());
    let many = |count: usize| format!("a: &a {{b: c}}\nimage:\n  <<: [{}]\n  tag: v1\n", "*a, ".repeat(count));
    assert!(set_tag(&many(16), &[TagPath::default()], TAG).is_ok());
    assert!(matches!(refusal(&many(17), "image.tag"), EditRefusal::Syntax { line: 4, .. }));
}

#[test]
fn an_alias_is_edited_if_all_its_uses_are() {
    let both = |text: &str, at: &[&str]| {
        let at: Vec<_> = at.iter().map(|at| path(at)).collect();
        let edit = set_tag(text, &at, TAG)?;
        assert_eq!(read_tags(&edit.text, &at).unwrap(), vec![TAG; at.len()]);
        Ok(edit.text)
    };
    let line = |refused: Result<String, EditRefusal>| match refused.unwrap_err() {
        EditRefusal::Alias { path, line } => format!("alias {path} {line}"),
        EditRefusal::UsedElsewhere { path, line } => format!("used elsewhere {path} {line}"),
        other => panic!("{other:?}"),
    };
    // A scalar.
    let text = "web:\n  tag: &tag v1\nworker:\n  tag: *tag\ncron:\n  tag: *tag\n";
    let edited = text.replace("v1", "\"main-abc1234\"");
    assert_eq!(both(text, &["web.tag", "worker.tag", "cron.tag"]), Ok(edited.clone()));
    assert_eq!(both(text, &["cron.tag", "web.tag", "worker.tag", "web.tag"]), Ok(edited));
    assert_eq!(line(both(text, &["web.tag", "worker.tag"])), "used elsewhere web.tag 6");
    assert_eq!(line(both(text, &["worker.tag", "cron.tag"])), "alias worker.tag 4");
    assert_eq!(line(both(text, &["web.tag"])), "used elsewhere web.tag 4");
    // A whole mapping.
    let text = "web: {image: &image {repository: ghcr.io/acme/checkout, tag: v1}}\nworker: {image: *image}\n";
    assert!(both(text, &["web.image.tag", "worker.image.tag"]).is_ok());
    assert_eq!(line(both(text, &["worker.image.tag"])), "alias worker.image.tag 2");
    // By way of another alias: each of the four places has to be there.
    let text = "a: &a {x: &t v1, y: *t}\nb: *a\n";
    assert!(both(text, &["a.x", "a.y", "b.x", "b.y"]).is_ok());
    assert_eq!(line(both(text, &["a.x", "a.y", "b.x"])), "used elsewhere a.x 1");
    assert_eq!(line(both(text, &["a.x", "a.y"])), "used elsewhere a.x 2");
    // A merge is a use that no path leads to.
    let text = "a: &a {tag: v1}\nb: {<<: *a}\nc: *a\n";
    assert_eq!(line(both(text, &["a.tag", "c.tag"])), "used elsewhere a.tag 2");
    // What stands beside each use counts.
    let text = "web: {tag: &t v1}\nworker: {repository: ghcr.io/eve/checkout, tag: *t}\n";
    let why = both(text, &["web.tag", "worker.tag"]).unwrap_err();
    assert!(matches!(why, EditRefusal::OtherImage { line: 2, .. }), "{why:?}");
    // Another document has anchors of its own.
    let text = "tag: &t v1\n---\na: &t v2\nb: *t\n";
    assert!(both(text, &["tag"]).is_ok());
    // More places than can be counted.
    let laughs: String = (1..70).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    assert!(line(both(&format!("tag: &a0 v1\n{laughs}"), &["tag"])).starts_with("used elsewhere tag"));
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
fn a_file_full_of_values_is_refused() {
    let full = |count: usize| format!("tag: x\nb: [{}]\n", "a,".repeat(count));
    // The mapping, two keys, the tag and the list.
    assert!(set_tag(&full(MOST_NODES - 5), &[path("tag")], TAG).is_ok());
    let text = full(MOST_NODES - 4);
    let too_large = EditRefusal::TooLarge { bytes: text.len(), limit: LARGEST };
    assert_eq!(refusal(&text, "tag"), too_large);
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
        assert_eq!(edit.before.tags, [tag]);
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
    assert_eq!((edit.before.tags, edit.changed), (vec!["x".to_owned(), TAG.to_owned(), "x".to_owned()], true));
}

#[test]
fn the_proof_sees_every_other_change() {
    let old = "a: &x 1 # c\nb: [u, 'v']\ntag: old\n";
    let bytes = old.find("old").unwrap()..old.len() - 1;
    let changes = [Change { event: 11, bytes, form: Form::Double, value: "new".to_owned() }];
    let good = old.replace("old", "\"new\"");
    assert!(means_the_same_but_for(old, &good, &changes));
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
        assert!(!means_the_same_but_for(old, &good.replace(from, to), &changes), "{from:?} -> {to:?}");
    }
    assert!(differs_only_in(old, &good, &changes));
    for other in
        [good.replace('c', "d"), good.replace("new", "neu"), format!("{good} "), format!(" {good}"), old.to_owned()]
    {
        assert!(!differs_only_in(old, &other, &changes), "{other:?}");
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
        prop_assert_eq!(&edit.before.tags, &[value.trim_matches(['\'', '"'])]);
        prop_assert_eq!(read_tags(&edit.text, &at).unwrap(), [tag.clone()]);
        prop_assert!(!set_tag(&edit.text, &at, &tag).unwrap().changed);
    }

    #[test]
    fn no_text_is_edited_wrongly(text in soup(), at in prop::sample::select(vec!["image.tag", "tag", "image[0]", "[0]", "image", "image[tag=x].tag"])) {
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

#[test]
fn a_tag_is_never_written_over_what_a_path_chooses_by() {
    let refused = |at: &[&str], text: &str| {
        let at: Vec<TagPath> = at.iter().map(|path| TagPath::parse(path).unwrap()).collect();
        let read = ours(|ours| read_written(text, At::tags(&at), ours));
        assert_eq!(set_tag(text, &at, "v2").err(), read.clone().err());
        matches!(read, Err(EditRefusal::ChoosesItem { .. }))
    };
    let text = "a:\n- {name: x, tag: v1}\n- {name: y, tag: v1, more: v1}\n";
    assert!(refused(&["a[name=x].tag", "a[name=x].name"], text), "by the same path's neighbour");
    assert!(refused(&["a[name=x].tag", "a[0].name"], text), "by its number");
    assert!(refused(&["a[name=x].tag", "a[1].name"], text), "the other entry would be chosen, too");
    assert!(!refused(&["a[name=x].tag", "a[name=y].tag", "a[1].more"], text));
}
