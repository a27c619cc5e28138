//! Each target with its corpus, then with inputs made of it. `FUZZ_SEED` and `FUZZ_RUNS` ask for others and for more,
//! `FUZZ_INPUT=<file>` for that one alone.

use crate::mutate::{Corpus, Random};
use fuzz::TARGETS;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The folder of a target's corpus.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Its files, by name, so that a seed means the same on every machine.
pub(crate) fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("the corpus of {target}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// How many inputs are made for each target.
const RUNS: u64 = 2500;

fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"));
    if let Ok(path) = std::env::var("FUZZ_INPUT") {
        return (target.run)(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
    let files = files(name);
    for (path, file) in &files {
        if catch_unwind(AssertUnwindSafe(|| (target.run)(file))).is_err() {
            panic!("{name} does not hold for {}", path.display());
        }
    }
    let (seed, runs) = (setting("FUZZ_SEED", 1), setting("FUZZ_RUNS", RUNS));
    println!("{name}: FUZZ_SEED={seed} FUZZ_RUNS={runs}");
    let corpus = Corpus::new(files.into_iter().map(|(_, file)| file).collect());
    let mut random = Random(seed);
    for run in 0..runs {
        let input = corpus.input(&mut random);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}-{run}"));
            std::fs::write(&path, &input).unwrap();
            panic!(
                "{name} does not hold: input {run} of FUZZ_SEED={seed}, written to {}\n\"{}\"",
                path.display(),
                input.escape_ascii()
            );
        }
    }
}

macro_rules! tests {
    ($($test:ident: $target:ident,)*) => {
        /// The targets that have a test.
        pub(crate) const TESTED: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $test() {
            hold(stringify!($target));
        })*
    };
}

tests! {
    no_answer_of_argo_cd_is_taken_for_more_than_it_says: argocd_answer,
    the_same_events_come_wherever_chunks_of_a_stream_end: argocd_events,
    a_catalog_that_is_accepted_reads_the_same_when_it_is_written_out: catalog,
    whatever_app_is_typed_is_found_in_the_catalog_or_refused_in_words: catalog_lookup,
    whatever_is_typed_is_understood_the_same_when_it_is_typed_again: command,
    nothing_was_changed_is_said_only_where_github_refused: github_commit,
    a_commit_is_signed_only_where_github_says_so_twice: github_history,
    a_github_signature_is_believed_only_for_its_own_bytes: github_signature,
    nothing_beside_an_error_of_github_is_believed: github_snapshot,
    a_header_that_is_there_twice_is_not_there: headers,
    a_tag_names_its_commit_and_an_image_has_one_meaning: image,
    a_setting_that_is_json_is_read_or_refused_without_its_value: json_setting,
    an_edit_changes_one_value_and_another_parser_agrees: manifest,
    an_identifier_is_stored_and_printed_as_it_stands: names,
    only_our_own_push_is_relayed_and_a_foreign_one_touches_nothing: push,
    what_is_no_id_in_redis_is_left_out: redis_members,
    credentials_go_to_registries_of_our_own_list_only: registry,
    an_address_for_answers_is_slacks_and_nobody_elses: response_url,
    a_wrong_setting_is_named_and_never_shown: settings,
    no_answer_of_slack_is_a_success_without_ok: slack_answer,
    a_form_is_read_as_every_other_reader_reads_it: slack_form,
    a_click_is_read_the_same_when_it_is_written_again: slack_interaction,
    only_a_signed_request_is_accepted_and_twice_is_once: slack_request,
    a_slack_signature_is_believed_only_for_its_own_bytes_and_time: slack_signature,
    outside_text_calls_nobody_and_is_read_as_it_was: slack_text,
    any_facts_have_a_state_and_a_message_that_slack_takes: stored_facts,
    a_stored_value_is_read_as_it_was_written_or_left_alone: stored_value,
    a_path_to_a_tag_is_what_it_prints: tag_path,
    a_time_is_read_as_it_is_written: timestamp,
}
