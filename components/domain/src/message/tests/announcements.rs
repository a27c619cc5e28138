//! What the channel reads when somebody has pushed to a file of an app.

use super::*;
use crate::names::SlackChannel;
use crate::push::{ManagedTarget, PushNote, Touched};
use crate::selection::Applications;

pub(super) fn touched(app: &str, files: &[&str], commits: usize) -> Touched {
    let target =
        Target { app: AppName::parse(app).unwrap(), environment: EnvironmentName::parse("production").unwrap() };
    let managed = ManagedTarget {
        target,
        applications: Applications::Named(crate::deployment::samples::commit().target().applications.clone()),
        channel: SlackChannel::parse("C0G9QF9GW").ok(),
    };
    let files = files.iter().map(|file| path(file.trim_end_matches('/'))).collect();
    Touched { managed, files, wrote: "edcb".chars().take(commits).map(sha).collect() }
}

pub(super) fn note(touched: Vec<Touched>) -> PushNote {
    PushNote {
        at: at(0),
        who: "carol".to_owned(),
        headline: "Raise the limits".to_owned(),
        commits: 1,
        before: sha('d'),
        after: sha('e'),
        url: "https://github.com/acme/gitops".to_owned(),
        touched,
        more: 0,
    }
}

fn shown(note: &PushNote) -> String {
    show(&pushed(note, &note.touched.iter().collect::<Vec<_>>()))
}

#[test]
fn who_pushed_what_and_that_it_is_not_deployed() {
    let one = note(vec![touched("checkout", &["checkout/values.yaml"], 1)]);
    insta::assert_snapshot!(shown(&one), @"
    carol pushed to checkout@production: Raise the limits. Not deployed: I only deploy what people ask me to.
    [section] :pencil2: carol pushed <https://github.com/acme/gitops/commit/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee|Raise the limits>. Not deployed: I only deploy what people ask me to.
    [section] *checkout@production*  `checkout/values.yaml`  [Deploy]
    ");
    let several =
        vec![touched("checkout", &["shared.yaml", "checkout/values.yaml"], 2), touched("shop", &["shared.yaml"], 1)];
    let several = PushNote { commits: 3, headline: "Fix `it` <!channel>".to_owned(), more: 2, ..note(several) };
    insta::assert_snapshot!(shown(&several), @"
    carol pushed to checkout@production and shop@production: Fix 'it' &lt;!channel&gt;. Not deployed: I only deploy what people ask me to.
    [section] :pencil2: carol pushed <https://github.com/acme/gitops/commit/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee|Fix 'it' &lt;!channel&gt;> and <https://github.com/acme/gitops/compare/dddddddddddddddddddddddddddddddddddddddd...eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee|2 more commits>. Not deployed: I only deploy what people ask me to.
    [section] *checkout@production*  `shared.yaml` and `checkout/values.yaml`  [Deploy]
    [section] *shop@production*  `shared.yaml`  [Deploy]
    [context] … and 2 more that are not listed.
    ");
    let bare = PushNote { who: String::new(), headline: String::new(), url: String::new(), commits: 2, ..one };
    insta::assert_snapshot!(shown(&bare), @"
    Somebody pushed to checkout@production: eeeeeee. Not deployed: I only deploy what people ask me to.
    [section] :pencil2: Somebody pushed eeeeeee and 1 more commit. Not deployed: I only deploy what people ask me to.
    [section] *checkout@production*  `checkout/values.yaml`  [Deploy]
    ");
}
