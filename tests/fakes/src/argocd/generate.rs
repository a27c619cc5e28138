//! What repo-server makes of a folder, a chart or one for kustomize: manifests, an error, or an error that it remembers.

use super::Git;
use super::app::App;
use super::chart::{self, Manifest};
use super::kustomize;
use super::source::Source;
use super::webhook::{clean, touched};
use crate::Millis;

/// After so many failures of a revision repo-server answers from its cache, and for how long.
const TRIES: u32 = 3;
const CACHED: Millis = 60 * 60 * 1000;

impl App {
    /// The manifests of the chart at these revisions; `None` if there is no chart there. A hard refresh passes by what is cached.
    pub(super) fn generate(
        &mut self,
        git: &dyn Git,
        revisions: &[String],
        at: Millis,
        hard: bool,
    ) -> Option<Result<Vec<Manifest>, String>> {
        let index = self.chart_source()?;
        let (source, revision) = (self.sources.get(index)?.clone(), revisions.get(index)?.clone());
        let folder = source.path.as_deref()?;
        let used = self.generated_at(git, index, &revision, hard);
        let values = || self.values(git, &source, revisions, &used);
        let rendered = chart::render(git, &source.repo_url, &used, folder, &self.name, values)
            .or_else(|| kustomize::render(git, &source.repo_url, &used, folder))?;
        let failed = |why: &str| {
            let (nth, all) = (index + 1, self.sources.len());
            format!(
                "Failed to load target state: failed to generate manifest for source {nth} of {all}: \
                 rpc error: code = Unknown desc = {why}"
            )
        };
        let fails = match (&self.generation_fails, &rendered) {
            (Some(why), _) | (None, Err(why)) => Some(why.clone()),
            (None, Ok(_)) => None,
        };
        let cached = self.now.failures.get(&revision).filter(|(times, since)| *times >= TRIES && at < since + CACHED);
        if let (Some(_), false) = (cached, hard) {
            // The cause may be gone: the answer is still the last error.
            let why = self.now.last_failure.get(&revision).cloned().unwrap_or_default();
            return Some(Err(failed(&format!("Manifest generation error (cached): {why}"))));
        }
        match fails {
            None => {
                self.now.failures.remove(&revision);
                Some(rendered.map_err(|why| failed(&why)))
            }
            Some(why) => {
                let message = failed(&why);
                let entry = self.now.failures.entry(revision.clone()).or_insert((0, at));
                if at >= entry.1 + CACHED {
                    *entry = (0, at);
                }
                entry.0 += 1;
                self.now.last_failure.insert(revision, why);
                Some(Err(message))
            }
        }
    }

    /// The source whose folder makes the manifests: the one with the tag, or the first one where that has only values.
    fn chart_source(&self) -> Option<usize> {
        let makes_some = |source: &Source| source.path.is_some() && source.chart.is_none();
        let all = 0..self.sources.len();
        let known = all.filter(|index| self.sources.get(*index).is_some_and(makes_some));
        known.min_by_key(|index| *index != self.tag_at.source)
    }

    /// `helm.valueFiles`, in that order: the file's name, and what is in it.
    fn values(&self, git: &dyn Git, own: &Source, revisions: &[String], used: &str) -> Vec<(String, Option<Vec<u8>>)> {
        let read = |name: &String| {
            let Some((reference, path)) = name.strip_prefix('$').and_then(|rest| rest.split_once('/')) else {
                let folder = own.path.as_deref().unwrap_or_default();
                return git.file(&own.repo_url, used, &clean(&format!("{folder}/{name}")));
            };
            let named = |source: &Source| source.reference.as_deref() == Some(reference);
            let index = self.sources.iter().position(named)?;
            git.file(&self.sources[index].repo_url, revisions.get(index)?, path)
        };
        own.value_files.iter().map(|name| (name.clone(), read(name))).collect()
    }

    /// The revision whose manifests are used: with `manifest-generate-paths` those of the last comparison, if nothing below them changed.
    fn generated_at(&mut self, git: &dyn Git, index: usize, revision: &str, hard: bool) -> String {
        let (Some(source), false) = (self.sources.get(index), hard) else {
            self.now.same_as.remove(revision);
            return revision.to_owned();
        };
        if let Some(same) = self.now.same_as.get(revision) {
            return same.clone();
        }
        let Some(last) = self.now.revisions.get(index).filter(|last| last.len() == 40 && *last != revision) else {
            return revision.to_owned();
        };
        let last = self.now.same_as.get(last).unwrap_or(last).clone();
        if touched(self, source, git, &last, revision) {
            return revision.to_owned();
        }
        self.now.same_as.insert(revision.to_owned(), last.clone());
        last
    }
}
