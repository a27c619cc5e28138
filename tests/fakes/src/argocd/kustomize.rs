//! A folder with a `kustomization.yaml`, built as kustomize does it, as far as the tests go: `resources`, and `images` with `newName`,
//! `newTag` and `digest`.

use serde_json::Value;

use super::Git;
use super::chart::{Manifest, documents};

/// The manifests; `None` if there is no kustomization. The error is what repo-server says.
pub(super) fn render(git: &dyn Git, repo_url: &str, sha: &str, folder: &str) -> Option<Result<Vec<Manifest>, String>> {
    let under = |path: &str| format!("{}/{path}", folder.trim_end_matches('/')).trim_start_matches('/').to_owned();
    let file = git.file(repo_url, sha, &under("kustomization.yaml"))?;
    let built = (|| {
        let kustomization: Value =
            serde_yaml::from_slice(&file).map_err(|error| format!("Error: invalid Kustomization: {error}"))?;
        let mut manifests = Vec::new();
        for path in kustomization["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let missing = || format!("Error: accumulating resources from '{path}': no such file or directory");
            let text = git.file(repo_url, sha, &under(path)).ok_or_else(missing)?;
            manifests.extend(documents(&String::from_utf8_lossy(&text), path)?);
        }
        for image in kustomization["images"].as_array().into_iter().flatten() {
            manifests.iter_mut().for_each(|manifest| put_image(image, &mut manifest.body));
        }
        Ok(manifests)
    })();
    Some(built.map_err(|error: String| {
        format!("`kustomize build <path to cached source>/{folder}` failed exit status 1: {error}")
    }))
}

/// Wherever an image of that name stands.
fn put_image(wanted: &Value, body: &mut Value) {
    match body {
        Value::Object(object) => {
            if let Some(image) = object.get_mut("image").filter(|image| is_named(image, &wanted["name"])) {
                let name = wanted["newName"].as_str().or(wanted["name"].as_str()).unwrap_or_default();
                let digest = wanted["digest"].as_str().filter(|digest| !digest.is_empty());
                let tag = match (wanted["newTag"].as_str(), digest) {
                    (Some(tag), Some(digest)) => format!(":{tag}@{digest}"),
                    (None, Some(digest)) => format!("@{digest}"),
                    (tag, None) => format!(":{}", tag.unwrap_or("latest")),
                };
                *image = Value::String(format!("{name}{tag}"));
            }
            object.values_mut().for_each(|value| put_image(wanted, value));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_image(wanted, item)),
        _ => {}
    }
}

fn is_named(image: &Value, name: &Value) -> bool {
    let (Some(image), Some(name)) = (image.as_str(), name.as_str()) else { return false };
    image.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}
