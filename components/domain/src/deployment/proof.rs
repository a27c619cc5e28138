//! Whether the image that was to be deployed is in what our sync applied, and in what runs.
//!
//! Easy to miss: neither list is the whole truth. What was applied (Argo CD 3.1 and newer say it) may be rewritten on
//! its way into Pods by an admission webhook or a mirror. Pods may not be there at all: zero replicas, only CronJobs, a
//! project that does not show Pods. And a Pod of a Job proves nothing about the Deployment beside it.

use crate::image::{Digest, ImageName, ImageRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What shows that our version is live, the best proof first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A Pod runs our image.
    Runs,
    /// Our sync applied our image. No Pod of the image is shown.
    Applied,
    /// Nothing: our sync succeeded, but neither list names an image.
    NoImage,
    /// Nothing: the catalog says `verify_running: off`.
    NotAsked,
}

/// Why our version is not live although the sync succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Our image was applied, and the Pods run other tags of it. New Pods may still come.
    OldPods,
    /// Only other tags of our image, or only other images, were applied or run. Argo CD's answer may be old.
    OtherTag,
    /// Our sync applied images, and none of them is ours.
    NotUsed,
}

/// Our image, however it may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    pub wanted: ImageRef,
    /// The digest that the registry named.
    pub digest: Option<Digest>,
    /// The digest is written in Git: another image under our tag is not ours.
    pub pinned: bool,
    /// The other names that the catalog lists.
    pub mirrors: Vec<ImageName>,
    /// The names of the images of other targets in the same application.
    pub beside: Vec<ImageName>,
}

impl Ours {
    /// Whether who runs these images is another target's, and has nothing to do with our version.
    pub fn is_anothers(&self, images: &[String]) -> bool {
        let images = read(images);
        let is_theirs = |image: &Named<'_>| self.beside.iter().any(|name| image.is(name));
        images.iter().any(is_theirs) && !images.iter().any(|image| self.is_named_by(image))
    }

    fn is_named_by(&self, image: &Named<'_>) -> bool {
        image.is(&self.wanted.name) || self.mirrors.iter().any(|name| image.is(name))
    }
}

/// Decides by the images that our sync `applied` (no hooks), and those that `pods` run (no Pods of Jobs). The Pods of
/// another target say nothing.
pub fn proof(applied: &[String], pods: &[String], ours: &Ours) -> Result<Proof, Doubt> {
    let pods: Vec<&String> = pods.iter().filter(|image| !ours.is_anothers(std::slice::from_ref(image))).collect();
    let (applied_images, pod_images) = (read(applied), read(&pods));
    let mirror = mirror(&applied_images, &pod_images, ours);
    let has = |images: &[Named<'_>]| has_ours(images, mirror, ours);
    match (has(&applied_images), has(&pod_images)) {
        (_, Some(true)) => Ok(Proof::Runs),
        (Some(true), Some(false)) => Err(Doubt::OldPods),
        (Some(true), None) => Ok(Proof::Applied),
        (Some(false), _) | (None, Some(false)) => Err(Doubt::OtherTag),
        (None, None) if !applied.is_empty() => Err(Doubt::NotUsed),
        (None, None) if pods.is_empty() => Ok(Proof::NoImage),
        (None, None) => Err(Doubt::OtherTag),
    }
}

fn read(images: &[impl AsRef<str>]) -> Vec<Named<'_>> {
    images.iter().map(|image| Named::read(image.as_ref())).collect()
}

/// The name under which a mirror has our image. A mirror keeps the last part of the name, which counts only if no other
/// image has the same last part. What is applied beside our own name is an image of its own. Where another target's
/// image has that last part, too, no name is known to be ours.
fn mirror<'a>(applied: &[Named<'a>], pods: &[Named<'a>], ours: &Ours) -> Option<&'a str> {
    let last = last_part(&ours.wanted.name);
    let is_ours = |name: &ImageName| name.is(&ours.wanted.name) || ours.mirrors.iter().any(|known| name.is(known));
    if ours.beside.iter().any(|name| last_part(name) == last && !is_ours(name)) {
        return None;
    }
    let applies_ours = applied.iter().any(|image| ours.is_named_by(image));
    let beside: BTreeSet<&str> = applied.iter().filter(|_| applies_ours).map(|image| image.name).collect();
    let alike = applied.iter().chain(pods).filter(|image| image.last() == last && !ours.is_named_by(image));
    let names: BTreeSet<&str> = alike.map(|image| image.name).filter(|name| !beside.contains(name)).collect();
    if names.len() == 1 { names.first().copied() } else { None }
}

fn last_part(name: &ImageName) -> &str {
    name.repository().rsplit('/').next().unwrap_or_default()
}

/// Whether our image is among these with our tag or digest. `None`: no image of these is ours, whatever its tag.
fn has_ours(images: &[Named<'_>], mirror: Option<&str>, ours: &Ours) -> Option<bool> {
    let named: Vec<&Named<'_>> = images.iter().filter(|image| ours.is_named_by(image)).collect();
    let mirrored = || images.iter().filter(|image| Some(image.name) == mirror).collect();
    let named = if named.is_empty() { mirrored() } else { named };
    let known = named.iter().filter_map(|image| image.matches(ours));
    known.reduce(|one, other| one || other)
}

/// An image as Kubernetes writes it: `name`, `name:tag`, `name@digest`, `name:tag@digest`.
struct Named<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn read(image: &'a str) -> Self {
        let (text, digest) = match image.split_once('@') {
            Some((text, digest)) => (text, Some(digest)),
            None => (image, None),
        };
        match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => Self { name, tag: Some(tag), digest },
            _ if digest.is_some() => Self { name: text, tag: None, digest },
            _ => Self { name: text, tag: Some("latest"), digest },
        }
    }

    fn is(&self, name: &ImageName) -> bool {
        ImageName::parse(self.name).is_ok_and(|parsed| parsed.is(name))
    }

    fn last(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the image has our tag or our digest. `None`: it has a digest alone, and ours is not known.
    fn matches(&self, ours: &Ours) -> Option<bool> {
        let by_digest = self.digest.zip(ours.digest.as_ref()).map(|(theirs, ours)| theirs == ours.as_str());
        match (self.tag, by_digest) {
            (_, Some(true)) => Some(true),
            (_, Some(false)) if ours.pinned => Some(false),
            (Some(tag), _) => Some(tag == ours.wanted.tag.as_str()),
            (None, by_digest) => by_digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Tag;
    use proptest::prelude::*;

    fn wanted() -> ImageRef {
        ImageRef { name: ImageName::parse("ghcr.io/acme/checkout").unwrap(), tag: Tag::parse("new").unwrap() }
    }

    fn ours(digest: Option<&Digest>) -> Ours {
        Ours { wanted: wanted(), digest: digest.cloned(), pinned: false, mirrors: Vec::new(), beside: Vec::new() }
    }

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn which_image_proves_what() {
        let check = |applied: &[&str], pods: &[&str], expected| {
            let texts = |images: &[&str]| images.iter().map(|image| (*image).to_owned()).collect::<Vec<_>>();
            let ours = Digest::parse(&digest('a')).unwrap();
            let found = proof(&texts(applied), &texts(pods), &super::tests::ours(Some(&ours)));
            assert_eq!(found, expected, "applied {applied:?}, pods {pods:?}");
        };
        let (new, old, redis) = ("ghcr.io/acme/checkout:new", "ghcr.io/acme/checkout:old", "redis:7");
        check(&[new, redis], &[new, redis], Ok(Proof::Runs));
        // During a rolling update.
        check(&[new], &[old, new], Ok(Proof::Runs));
        // Zero replicas, only CronJobs, a project without Pods.
        check(&[new], &[], Ok(Proof::Applied));
        check(&[new], &[redis], Ok(Proof::Applied));
        // Before Argo CD 3.1 nothing says what was applied.
        check(&[], &[new], Ok(Proof::Runs));
        check(&[], &[], Ok(Proof::NoImage));
        check(&[], &[redis], Err(Doubt::OtherTag));
        check(&[], &[old], Err(Doubt::OtherTag));
        check(&[old], &[old], Err(Doubt::OtherTag));
        // An operator, or `OnDelete`, has not replaced the Pods.
        check(&[new], &[old], Err(Doubt::OldPods));
        check(&[old], &[], Err(Doubt::OtherTag));
        check(&[old], &[new], Ok(Proof::Runs));
        // Only a hook uses the tag: hooks are in neither list.
        check(&["ghcr.io/acme/other:1"], &["ghcr.io/acme/other:1"], Err(Doubt::NotUsed));
        check(&[redis], &[], Err(Doubt::NotUsed));
    }

    #[test]
    fn a_mirror_keeps_the_last_part_of_the_name() {
        let check = |applied: &[&str], pods: &[&str], expected| {
            let texts = |images: &[&str]| images.iter().map(|image| (*image).to_owned()).collect::<Vec<_>>();
            assert_eq!(proof(&texts(applied), &texts(pods), &ours(None)), expected, "{applied:?} {pods:?}");
        };
        let (new, mirrored) = ("ghcr.io/acme/checkout:new", "mirror.corp:5000/ghcr/checkout:new");
        let (old, other) = ("mirror.corp:5000/ghcr/checkout:old", "quay.io/else/checkout:new");
        check(&[mirrored], &[mirrored], Ok(Proof::Runs));
        check(&[new], &[mirrored], Ok(Proof::Runs));
        check(&[new], &[old], Err(Doubt::OldPods));
        // Two images with that last part: neither is known to be a mirror.
        check(&[], &[mirrored, other], Err(Doubt::OtherTag));
        check(&[mirrored, other], &[], Err(Doubt::NotUsed));
        // What has our own name decides, whatever else has the last part.
        check(&[new], &[new, "quay.io/else/checkout:7"], Ok(Proof::Runs));
        check(&[new, "quay.io/else/checkout:7"], &["quay.io/else/checkout:7"], Ok(Proof::Applied));
        check(&["ghcr.io/acme/checkout2:new"], &[], Err(Doubt::NotUsed));
    }

    #[test]
    fn a_name_that_the_catalog_lists_is_ours() {
        let mirrors = ["mirror.corp/team/shop", "quay.io/acme/checkout"].map(|name| ImageName::parse(name).unwrap());
        let check = |applied: &[&str], pods: &[&str], expected| {
            let texts = |images: &[&str]| images.iter().map(|image| (*image).to_owned()).collect::<Vec<_>>();
            let ours = Ours { mirrors: mirrors.to_vec(), ..ours(None) };
            assert_eq!(proof(&texts(applied), &texts(pods), &ours), expected, "{applied:?} {pods:?}");
        };
        let (new, old) = ("mirror.corp/team/shop:new", "mirror.corp/team/shop:old");
        check(&[new], &[new], Ok(Proof::Runs));
        check(&["ghcr.io/acme/checkout:new"], &[new], Ok(Proof::Runs));
        check(&[new], &[old], Err(Doubt::OldPods));
        check(&[old], &[], Err(Doubt::OtherTag));
        // Two names with our last part, and both are listed or the catalog's own.
        check(&[], &["quay.io/acme/checkout:new", "ghcr.io/acme/checkout:old"], Ok(Proof::Runs));
        // Without the list nothing says that this is ours.
        let unlisted = proof(&[new.to_owned()], &[], &ours(None));
        assert_eq!(unlisted, Err(Doubt::NotUsed));
    }

    #[test]
    fn the_image_of_another_target_proves_nothing_and_disproves_nothing() {
        let beside = ["ghcr.io/acme/search", "quay.io/else/checkout"];
        let check = |beside: &[&str], applied: &[&str], pods: &[&str], expected| {
            let texts = |images: &[&str]| images.iter().map(|image| (*image).to_owned()).collect::<Vec<_>>();
            let beside = beside.iter().map(|name| ImageName::parse(name).unwrap()).collect();
            let ours = Ours { beside, ..ours(None) };
            assert_eq!(proof(&texts(applied), &texts(pods), &ours), expected, "{applied:?} {pods:?}");
        };
        let (new, old) = ("ghcr.io/acme/checkout:new", "ghcr.io/acme/checkout:old");
        let (search, alike) = ("ghcr.io/acme/search:new", "quay.io/else/checkout:7");
        check(&beside, &[new, search, alike], &[new, search, alike], Ok(Proof::Runs));
        check(&beside, &[new, search, alike], &[search, alike], Ok(Proof::Applied));
        check(&beside, &[new, search], &[old, search], Err(Doubt::OldPods));
        // The same last part, the same tag, and yet not ours.
        check(&beside, &["quay.io/else/checkout:new"], &["quay.io/else/checkout:new"], Err(Doubt::NotUsed));
        check(&["ghcr.io/acme/search"], &["quay.io/else/checkout:new"], &[], Ok(Proof::Applied));
        // Neither is what a mirror may have renamed.
        check(&beside, &["mirror.corp/x/checkout:new"], &[], Err(Doubt::NotUsed));
        // Before Argo CD 3.1 nothing says what was applied: the Pods of others do not say it either.
        check(&beside, &[], &[search], Ok(Proof::NoImage));
        check(&[], &[], &[search], Err(Doubt::OtherTag));
        check(&beside, &[search], &[search], Err(Doubt::NotUsed));
        // Two environments of one app have one image: what runs anywhere proves it.
        check(&["ghcr.io/acme/checkout"], &[old, new], &[old], Err(Doubt::OldPods));
        check(&["ghcr.io/acme/checkout"], &[old, new], &[old, new], Ok(Proof::Runs));
    }

    #[test]
    fn a_digest_is_the_image_too() {
        let ours = Digest::parse(&digest('a')).unwrap();
        let check = |pod: &str, digest: Option<&Digest>, expected| {
            assert_eq!(proof(&[], &[pod.to_owned()], &super::tests::ours(digest)), expected, "{pod} {digest:?}");
        };
        let (same, different) = (digest('a'), digest('b'));
        check(&format!("ghcr.io/acme/checkout@{same}"), Some(&ours), Ok(Proof::Runs));
        check(&format!("ghcr.io/acme/checkout:old@{same}"), Some(&ours), Ok(Proof::Runs));
        check(&format!("ghcr.io/acme/checkout:new@{different}"), Some(&ours), Ok(Proof::Runs));
        check(&format!("ghcr.io/acme/checkout@{different}"), Some(&ours), Err(Doubt::OtherTag));
        // Who writes the digest wants no other image; without one, the tag counts.
        let pinned = Ours { pinned: true, ..super::tests::ours(Some(&ours)) };
        let pinned = |pod: String| proof(&[], &[pod], &pinned);
        assert_eq!(pinned(format!("ghcr.io/acme/checkout:new@{different}")), Err(Doubt::OtherTag));
        assert_eq!(pinned(format!("ghcr.io/acme/checkout:new@{same}")), Ok(Proof::Runs));
        assert_eq!(pinned("ghcr.io/acme/checkout:new".to_owned()), Ok(Proof::Runs));
        // Which tag that is cannot be known.
        check(&format!("ghcr.io/acme/checkout@{same}"), None, Err(Doubt::OtherTag));
    }

    #[test]
    fn an_image_is_recognised_however_it_is_spelled() {
        let check = |pod: &str, name: &str, tag: &str, expected: bool| {
            let wanted = ImageRef { name: ImageName::parse(name).unwrap(), tag: Tag::parse(tag).unwrap() };
            let found = proof(&[], &[pod.to_owned()], &Ours { wanted, ..ours(None) }) == Ok(Proof::Runs);
            assert_eq!(found, expected, "{name}:{tag} as {pod}");
        };
        check("ghcr.io/acme/checkout:main-2", "ghcr.io/acme/checkout", "main-1", false);
        check("docker.io/library/nginx:1", "nginx", "1", true);
        check("nginx:1", "index.docker.io/nginx", "1", true);
        check("nginx", "nginx", "latest", true);
        check("localhost:5000/x", "localhost:5000/x", "latest", true);
        check("127.0.0.1:5000/x:1", "127.0.0.1:5000/x", "1", true);
        for odd in ["", ":", "@", "a/b/:"] {
            check(odd, "nginx", "latest", false);
        }
    }

    proptest! {
        #[test]
        fn no_image_panics(applied: Vec<String>, pods in prop::collection::vec("[a-z/:@.]{0,20}", 0..4)) {
            let _ = proof(&applied, &pods, &ours(None));
        }
    }
}
