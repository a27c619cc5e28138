//! Each target with its corpus, then with inputs made of it. `FUZZ_SEED` and `FUZZ_RUNS` ask for others and
//! for more, `FUZZ_SECONDS` for as many as are made in that time, `FUZZ_INPUT=<file>` for that file alone.

use crate::mutate::{Corpus, Random};
use fuzz::corpus::{Entry, write};
use fuzz::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// How many inputs are made for each target.
const RUNS: u64 = 2500;

fn holds(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok()
}

/// An input as `corpus/<target>.txt` may have it.
fn as_entry(input: &[u8]) -> String {
    write(&[Entry { name: "found_new".to_owned(), input: input.to_vec() }])
}

fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"));
    if let Ok(path) = std::env::var("FUZZ_INPUT") {
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        println!("{}", as_entry(&input));
        return (target.run)(&input);
    }
    let entries = target.entries();
    for entry in &entries {
        assert!(holds(target, &entry.input), "{name} does not hold for {} of corpus/{name}.txt", entry.name);
    }
    let (seed, seconds) = (setting("FUZZ_SEED", 1), setting("FUZZ_SECONDS", 0));
    let runs = setting("FUZZ_RUNS", if seconds > 0 { u64::MAX } else { RUNS });
    let until = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
    let corpus = Corpus::new(entries.into_iter().map(|entry| entry.input).collect());
    let mut random = Random(seed);
    let mut made = 0;
    for run in (0..runs).take_while(|_| until.is_none_or(|until| Instant::now() < until)) {
        made += 1;
        let input = corpus.input(&mut random);
        if !holds(target, &input) {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}-{run}"));
            std::fs::write(&path, &input).unwrap();
            let (path, entry) = (path.display(), as_entry(&input));
            panic!("{name} does not hold: input {run} of FUZZ_SEED={seed}, written to {path}\n{entry}");
        }
    }
    println!("{name}: {made} inputs of FUZZ_SEED={seed}");
}

/// One test for each target, in a module of the target's name: so `cargo test … -- <target>` runs it.
macro_rules! tests {
    ($($target:ident: $promise:ident),* $(,)?) => {
        /// The targets that have a test.
        pub(crate) const TESTED: &[&str] = &[$(stringify!($target)),*];

        $(mod $target {
            #[test]
            fn $promise() {
                super::hold(stringify!($target));
            }
        })*
    };
}

tests! {
    argocd_answer: no_answer_of_argo_cd_is_taken_for_more_than_it_says,
    argocd_events: the_same_events_come_wherever_chunks_of_a_stream_end,
    catalog: a_catalog_that_is_accepted_reads_the_same_when_it_is_written_out,
    catalog_included: an_included_file_touches_nothing_out_of_its_bounds,
    catalog_lookup: whatever_app_is_typed_is_found_in_the_catalog_or_refused_in_words,
    command: whatever_is_typed_is_understood_the_same_when_it_is_typed_again,
    github_commit: nothing_was_changed_is_said_only_where_github_refused,
    github_history: a_commit_is_signed_only_where_github_says_so_twice,
    github_signature: a_github_signature_is_believed_only_for_its_own_bytes,
    github_snapshot: nothing_beside_an_error_of_github_is_believed,
    headers: a_header_that_is_there_twice_is_not_there,
    image: a_tag_names_its_commit_and_an_image_has_one_meaning,
    json_setting: a_setting_that_is_json_is_read_or_refused_without_its_value,
    manifest: an_edit_changes_one_value_and_another_parser_agrees,
    names: an_identifier_is_stored_and_printed_as_it_stands,
    push: only_our_own_push_is_relayed_and_a_foreign_one_touches_nothing,
    redis_members: what_is_no_id_in_redis_is_left_out,
    registry: credentials_go_to_registries_of_our_own_list_only,
    response_url: an_address_for_answers_is_slacks_and_nobody_elses,
    settings: a_wrong_setting_is_named_and_never_shown,
    slack_answer: no_answer_of_slack_is_a_success_without_ok,
    slack_event: an_event_is_a_mention_only_if_a_person_of_ours_wrote_it,
    slack_form: a_form_is_read_as_every_other_reader_reads_it,
    slack_interaction: a_click_is_read_the_same_when_it_is_written_again,
    slack_request: only_a_signed_request_is_accepted_and_twice_is_once,
    slack_signature: a_slack_signature_is_believed_only_for_its_own_bytes_and_time,
    slack_text: outside_text_calls_nobody_and_is_read_as_it_was,
    stored_facts: any_facts_have_a_state_and_a_message_that_slack_takes,
    stored_value: a_stored_value_is_read_as_it_was_written_or_left_alone,
    tag_path: a_path_to_a_tag_is_what_it_prints,
    timestamp: a_time_is_read_as_it_is_written,
}
