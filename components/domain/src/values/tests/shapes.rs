//! Shapes of values files, as people write them and as Helm and kubectl read them: each is edited, and no other byte changes.

use super::{TAG, path, read_tags, set_tag};

/// The name of a shape, the path, and the file: what is replaced stands between `«` and `»`.
const SHAPES: [(&str, &str, &str); 50] = [
    ("plain", "image.tag", "image:\n  repository: ghcr.io/acme/checkout\n  tag: «v1»\n"),
    ("single quotes", "image.tag", "image:\n  tag: «'v1'»\n"),
    ("double quotes with escapes", "image.tag", "image:\n  tag: «\"v\\x31 \\\" \\u00e4\"»\n"),
    ("a doubled quote", "image.tag", "image:\n  tag: «'it''s'» # it's\n"),
    ("no value", "image.tag", "image:\n  tag:«»\n  pullPolicy: Always\n"),
    ("no value, then a comment", "image.tag", "image:\n  tag:«» # set by the bot\n"),
    ("no value at the very end", "image.tag", "image:\n  tag:«»"),
    ("null", "image.tag", "image:\n  tag: «null»\n"),
    ("a tilde", "image.tag", "image:\n  tag: «~»\n"),
    ("a number", "image.tag", "image:\n  tag: «1.20»\n"),
    ("a comment after it", "image.tag", "image:\n  tag: «v1»   # yes: 'tag: v2' \"x\n"),
    ("a # within it", "image.tag", "image:\n  tag: «v1#2»\n"),
    ("comments between", "image.tag", "# a\nimage: # b\n  # c\n\n    # d\n# e\n  tag: «v1»\n  # f\n#g\n"),
    ("blanks after it", "image.tag", "image:\n  tag: «v1»  \t \n  b: c\n"),
    ("tabs before and after it", "image.tag", "image:\n  tag:\t«v1»\t# c\n"),
    ("lines of blanks", "image.tag", "image:\n  \n      \n  tag: «v1»\n \nb: c\n"),
    ("CRLF", "image.tag", "image:\r\n  tag: «v1»\r\n  b: c\r\n"),
    ("CR alone", "image.tag", "image:\r  tag: «v1»\r  b: c\r"),
    ("a byte order mark", "image.tag", "\u{feff}image:\n  tag: «v1»\nb: c\n"),
    ("a byte order mark, CRLF and a comment", "image.tag", "\u{feff}# größe\r\nimage: {tag: «'v1'»}\r\n"),
    ("no line feed at the end", "image.tag", "image:\n  tag: «v1»"),
    ("letters of other languages before it", "image.tag", "名前: 漢字 🦀\nimage: {größe: \"ä\", tag: «v1», ü: ö}\n"),
    ("a very long line before it", "image.tag", "LONG\nimage:\n  tag: «v1» # LONG\n"),
    ("keys in quotes", "image.tag", "'image':\n  \"tag\": «v1»\n"),
    ("an escaped key", "image.tag", "\"im\\x61ge\":\n  tag: «v1»\n"),
    ("a key after a question mark", "image.tag", "? image\n: ? tag\n  : «v1»\n  ? b\n"),
    ("a mapping on one line", "image.tag", "image: {repository: ghcr.io/acme/checkout, tag: «v1», b: [c, {d: e}]}\n"),
    ("a mapping on one line, no value", "image.tag", "image: {tag:«» , b: c}\n"),
    ("a mapping over lines", "image.tag", "image: {\n  tag: «v1», # c\n  b: c,\n}\n"),
    ("JSON", "image.tag", "{\"image\":{\"tag\":«\"v1\"»,\"b\":[1,null]}}"),
    ("JSON in tabs, without quotes", "image.tag", "{\n\timage: {\n\t\ttag: «v1»\n\t\n\t# c\n\t}\n}\n"),
    ("JSON in tabs", "image.tag", "{\n\t\"image\": {\n\t\t\"tag\": «\"v1\"»\n\t}\n}\n"),
    ("a ] at the indentation of its key", "image.tag", "args: [\n  a,\n  b\n]\nimage:\n  tag: «v1»\n"),
    ("an empty [ ] over two lines", "image.tag", "a: [\n]\nb: {\n}\nimage:\n  tag: «v1»\n"),
    ("a [ that goes on at the indentation of its key", "image.tag", "image:\n  a: [ b,\n  c ]\n  tag: «v1»\n"),
    ("a ] at the indentation of its key in a list", "image.tag", "a:\n- b: [\n  c\n  ]\nimage:\n  tag: «v1»\n"),
    ("a } at the indentation of its key", "image.tag", "a:\n  b: {\n    c: d\n  }\nimage:\n  tag: «v1»\n"),
    ("a quoted text that goes on in column 0", "image.tag", "a: \"b\nc\\\n  d\ne: f\"\nimage:\n  tag: «v1»\n"),
    (
        "block texts around it",
        "image.tag",
        "a: |\n  tag: x\n\n  image: y\nimage:\n  a: >-\n    tag: x\n  tag: «v1»\n  b: |2+\n      c\n\n",
    ),
    ("a block text to the very end", "image.tag", "image:\n  tag: «v1»\na: |\n  b"),
    ("a text over several lines", "image.tag", "a: b\n  c d\n\n  e 'f \"\nimage:\n  tag: «v1»\n"),
    ("an anchor before it", "image.tag", "image: &image\n  tag: &t «v1»\n"),
    ("an anchor used for something else", "image.tag", "a: &a [b]\nimage: {c: *a, tag: «v1»}\n"),
    ("a merge beside it", "image.tag", "a: &a {tag: v0, c: d}\nimage:\n  <<: *a\n  tag: «v1»\n"),
    ("a type before it", "image.tag", "image:\n  tag: !!str «1.20»\n"),
    ("a document before and after it", "image.tag", "---\na: b\n--- # c\nimage:\n  tag: «v1»\n...\n---\nd: e\n"),
    ("a directive and both marks", "image.tag", "%YAML 1.1\n---\nimage:\n  tag: «v1»\n...\n"),
    ("lists at the indentation of their key", "a[1].tag", "a:\n- b\n- tag: «v1»\n  c: d\n-\n"),
    ("lists of lists", "a[1][0].tag", "a:\n- - b\n- - tag: «v1»\n  - c\n"),
    ("other keys twice", "image.tag", "a: 1\na: 2\nimage: {b: 1, b: 2, tag: «v1»}\n"),
];

#[test]
fn shapes_of_values_files_are_edited_to_the_byte() {
    let mut wrong = Vec::new();
    for (name, at, shape) in SHAPES {
        let shape = shape.replace("LONG", &"ä: b # [".repeat(20_000));
        let (before, rest) = shape.split_once('«').unwrap();
        let (old, after) = rest.split_once('»').unwrap();
        let new = match old.get(..1) {
            None => format!(" \"{TAG}\""),
            Some("'") => format!("'{TAG}'"),
            Some(_) => format!("\"{TAG}\""),
        };
        let edited = set_tag(&format!("{before}{old}{after}"), &[path(at)], TAG).map(|edit| edit.text);
        if edited.as_ref() != Ok(&format!("{before}{new}{after}")) {
            wrong.push(format!("{name}: {}", format!("{edited:?}").chars().take(300).collect::<String>()));
            continue;
        }
        assert_eq!(read_tags(&edited.unwrap(), &[path(at)]), Ok(vec![TAG.to_owned()]), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
