//! The digest beside the tag.

use super::*;
use crate::image::Digest;

/// What each file becomes with this tag and digest. `D` stands for the digits of the new digest, `O` for those of the old one.
fn edited(text: &str, tags: &[&str], digests: &[&str]) -> Result<String, EditRefusal> {
    let (new, old) = ("0123456789abcdef".repeat(4), "f".repeat(64));
    let digest = Digest::parse(&format!("sha256:{new}")).unwrap();
    let paths = |all: &[&str]| all.iter().map(|at| path(at)).collect::<Vec<_>>();
    let (tags, digests) = (paths(tags), paths(digests));
    let at = At { tags: &tags, digests: &digests };
    let text = text.replace('O', &old);
    let version = Version { tag: TAG, digest: Some(&digest) };
    let edit = ours(|ours| set_tag_of(&text, at, ours, version))?;
    assert_eq!(ours(|ours| read_written(&edit.text, at, ours)).map(|now| now.is(version)), Ok(true));
    let again = ours(|ours| set_tag_of(&edit.text, at, ours, version)).unwrap();
    assert_eq!((again.text.as_str(), again.changed), (edit.text.as_str(), false), "a second edit has nothing to do");
    // The old digest would win over the new tag.
    let unknown = ours(|ours| set_tag_of(&text, at, ours, Version { tag: TAG, digest: None }));
    assert!(matches!(unknown, Err(EditRefusal::Unproven { .. })), "{unknown:?}");
    Ok(edit.text.replace(&new, "D").replace(&old, "O"))
}

#[test]
fn the_digest_is_written_where_the_catalog_says() {
    let check = |text: &str, tags: &[&str], digests: &[&str], expected: &str| {
        assert_eq!(edited(text, tags, digests).as_deref(), Ok(expected), "{text}");
    };
    let (tag, digest) = (["image.tag"], ["image.digest"]);
    let repository = "image:\n  repository: ghcr.io/acme/checkout\n";
    let becomes = format!("{repository}  tag: \"main-abc1234\" # ours\n  digest: \"sha256:D\"\nreplicas: 2\n");
    for old in [" sha256:O", " \"sha256:O\"", " \"\"", "", " ~", " null"] {
        check(&format!("{repository}  tag: v1 # ours\n  digest:{old}\nreplicas: 2\n"), &tag, &digest, &becomes);
    }
    let single = format!("{repository}  digest: \'sha256:O\'\n  tag: v1\n");
    check(&single, &tag, &digest, &format!("{repository}  digest: \'sha256:D\'\n  tag: \"main-abc1234\"\n"));
    // Without `sha256:`, as Grafana's charts have it.
    for (old, new) in [("O", "D"), ("\"\"", "D"), ("sha256:O", "sha256:D")] {
        let text = format!("image: {{repository: ghcr.io/acme/checkout, tag: v1, sha: {old}}}\n");
        let becomes = format!("image: {{repository: ghcr.io/acme/checkout, tag: \"main-abc1234\", sha: \"{new}\"}}\n");
        check(&text, &tag, &["image.sha"], &becomes);
    }
    check(
        "imageTag: v1\nimageDigest:\nimage: ghcr.io/acme/checkout\n",
        &["imageTag"],
        &["imageDigest"],
        "imageTag: \"main-abc1234\"\nimageDigest: \"sha256:D\"\nimage: ghcr.io/acme/checkout\n",
    );
    // Kustomize: by the name in the manifests, or by the new one.
    let images =
        |name: &str, tag: &str, digest: &str| format!("images:\n- {name}\n  newTag: {tag}\n  digest: {digest}\n");
    for name in ["name: ghcr.io/acme/checkout", "name: checkout\n  newName: ghcr.io/acme/checkout"] {
        let becomes = images(name, "\"main-abc1234\"", "\"sha256:D\"");
        check(&images(name, "v1", "sha256:O"), &["images[0].newTag"], &["images[0].digest"], &becomes);
    }
    // A whole image.
    for old in ["ghcr.io/acme/checkout:v1@sha256:O", "ghcr.io/acme/checkout:v1", "ghcr.io/acme/checkout@sha256:O"] {
        let becomes = "containers:\n- {name: app, image: ghcr.io/acme/checkout:main-abc1234@sha256:D}\n";
        let at = ["containers[name=app].image"];
        let text = format!("containers:\n- {{name: app, image: {old}}}\n");
        check(&text, &at, &at, becomes);
    }
}

#[test]
fn a_digest_is_written_to_no_other_place() {
    let check = |text: &str, digests: &[&str], expected: &str| {
        let why = serde_json::to_string(&edited(text, &["image.tag"], digests).unwrap_err()).unwrap();
        assert!(why.contains(expected), "{text}: {why}");
    };
    let image = |rest: &str| format!("image: {{repository: ghcr.io/acme/checkout, tag: v1{rest}}}\n");
    check(&image(", digest: latest"), &["image.digest"], "not_a_digest");
    check(&image(", digest: \"~\""), &["image.digest"], "not_a_digest");
    check(&image(""), &["image.digest"], "path_missing");
    check(&image(""), &["image.tag"], "not_a_digest");
    let elsewhere =
        format!("{}other: {{repository: ghcr.io/acme/checkout, digest: sha256:O}}\n", image(", digest: sha256:O"));
    check(&elsewhere, &["other.digest"], r#"{"digest":{"path":"image.tag","at":"image.digest""#);
    let other = format!("{}search: {{repository: ghcr.io/acme/search, digest: sha256:O}}\n", image(""));
    check(&other, &["search.digest"], "other_image");
}
