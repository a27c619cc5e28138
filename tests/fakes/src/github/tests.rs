use serde_json::{Value, json};

use super::*;
use crate::{Answer, Request, Response, StandIn};

const GITOPS: &str = "acme/gitops";
const VALUES: &str = "image:\n  tag: \"main-0000000\"\n";
const NOW: Millis = 1_800_000_000_000;
const SECRET: &str = "a webhook secret of some length";

fn github() -> GitHub {
    let mut github = GitHub::new("ghp_secret", "deploy-bot[bot]");
    github.repo(GITOPS).file("checkout/values.yaml", VALUES).webhook(Webhook::new(SECRET));
    github
}

fn ask_with(github: &mut GitHub, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request {
        method: method.parse().unwrap(),
        target: target.to_owned(),
        headers: http::HeaderMap::new(),
        body: body.to_vec(),
    };
    for (name, value) in headers {
        request.headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    match github.answer(NOW, &request) {
        Answer::Whole(response) => response,
        other => panic!("{other:?}"),
    }
}

const HEADERS: [(&str, &str); 2] = [("user-agent", "deploy-bot"), ("authorization", "Bearer ghp_secret")];

fn get(github: &mut GitHub, target: &str, accept: &str) -> Response {
    ask_with(github, &format!("GET {target}"), &[HEADERS[0], HEADERS[1], ("accept", accept)], b"")
}

fn post(github: &mut GitHub, query: &str, variables: Value) -> Response {
    let body = json!({ "query": query, "variables": variables }).to_string();
    ask_with(github, "POST /graphql", &HEADERS, body.as_bytes())
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// Asks, and expects HTTP 200, which says nothing about success.
fn ask(github: &mut GitHub, query: &str, variables: Value) -> Value {
    let response = post(github, query, variables);
    assert_eq!(response.status, 200);
    json_of(&response)
}

/// The data of a query that has to work.
fn data(github: &mut GitHub, query: &str) -> Value {
    let answer = ask(github, query, json!({}));
    assert_eq!(answer.get("errors"), None, "{query}");
    answer["data"].clone()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

const COMMIT: &str = "mutation Deploy($input: CreateCommitOnBranchInput!) {
  createCommitOnBranch(input: $input) { commit { oid url } }
}";

fn commit_input(head: &str, text: &str) -> Value {
    json!({ "input": {
        "branch": { "repositoryNameWithOwner": GITOPS, "branchName": "main" },
        "expectedHeadOid": head,
        "message": { "headline": "Deploy checkout", "body": "Deploy-Id: 1" },
        "fileChanges": { "additions": [{ "path": "checkout/values.yaml", "contents": encode_base64(text.as_bytes()) }] },
    } })
}

fn commit(github: &mut GitHub, head: &str, text: &str) -> Value {
    ask(github, COMMIT, commit_input(head, text))
}

/// One line for each scalar, in order, whatever order the JSON had.
fn lines(value: &Value) -> String {
    fn walk(value: &Value, path: &str, lines: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| walk(field, &format!("{path}.{name}"), lines))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| walk(item, &format!("{path}[{at}]"), lines))
            }
            scalar => lines.push(format!("{}: {scalar}", path.trim_start_matches('.'))),
        }
    }
    let mut all = Vec::new();
    walk(value, "", &mut all);
    all.sort();
    all.join("\n")
}

// ---- Queries ----

#[test]
fn one_query_reads_everything_at_one_moment() {
    let mut github = github();
    github
        .repo("acme/checkout")
        .commit("Begin", &[("main.rs", "fn main() {}\n")])
        .pull_request(PullRequest::new(42, "feature/x"));
    github.repo("acme/checkout").branch("feature/x").checks(Checks::Success);
    let answer = ask(
        &mut github,
        "query Read($owner: String!, $name: String!, $file: String!, $number: Int!, $since: GitTimestamp) {
           viewer { login }
           gitops: repository(owner: $owner, name: $name) {
             ref(qualifiedName: \"refs/heads/main\") {
               name
               target { __typename oid ... on Commit {
                 values: file(path: $file) { name path object { ... on Blob { oid text isBinary isTruncated byteSize } } }
                 missing: file(path: \"nowhere.yaml\") { name }
                 history(first: 5, path: \"checkout\", since: $since) { totalCount nodes { messageHeadline author { user { login } } } }
               } }
             }
           }
           app: repository(owner: \"ACME\", name: \"checkout\") {
             nameWithOwner
             pullRequest(number: $number) {
               number state isDraft isCrossRepository headRefName headRepository { nameWithOwner } baseRefName title url author { login }
               commits(last: 1) { totalCount nodes { commit { message statusCheckRollup { state } } } }
             }
           }
         }",
        json!({ "owner": "acme", "name": "gitops", "file": "checkout/values.yaml", "number": 42, "since": "2020-01-01T00:00:00Z" }),
    );
    assert_eq!(answer["data"]["gitops"]["ref"]["target"]["oid"], json!(github.head(GITOPS, "main")));
    let mut shown = answer.clone();
    shown["data"]["gitops"]["ref"]["target"]["oid"] = json!("<head>");
    insta::assert_snapshot!(lines(&shown["data"]), @r#"
    app.nameWithOwner: "acme/checkout"
    app.pullRequest.author.login: "alice"
    app.pullRequest.baseRefName: "main"
    app.pullRequest.commits.nodes[0].commit.message: "Work on feature/x"
    app.pullRequest.commits.nodes[0].commit.statusCheckRollup.state: "SUCCESS"
    app.pullRequest.commits.totalCount: 1
    app.pullRequest.headRefName: "feature/x"
    app.pullRequest.headRepository.nameWithOwner: "acme/checkout"
    app.pullRequest.isCrossRepository: false
    app.pullRequest.isDraft: false
    app.pullRequest.number: 42
    app.pullRequest.state: "OPEN"
    app.pullRequest.title: "Work on feature/x"
    app.pullRequest.url: "https://github.com/acme/checkout/pull/42"
    gitops.ref.name: "main"
    gitops.ref.target.__typename: "Commit"
    gitops.ref.target.history.nodes[0].author.user.login: "alice"
    gitops.ref.target.history.nodes[0].messageHeadline: "Write checkout/values.yaml"
    gitops.ref.target.history.totalCount: 1
    gitops.ref.target.missing: null
    gitops.ref.target.oid: "<head>"
    gitops.ref.target.values.name: "values.yaml"
    gitops.ref.target.values.object.byteSize: 29
    gitops.ref.target.values.object.isBinary: false
    gitops.ref.target.values.object.isTruncated: false
    gitops.ref.target.values.object.oid: "95714ea90bebd84953979eeb39df46950a9ee789"
    gitops.ref.target.values.object.text: "image:\n  tag: \"main-0000000\"\n"
    gitops.ref.target.values.path: "checkout/values.yaml"
    viewer.login: "deploy-bot[bot]"
    "#);
}

#[test]
fn the_latest_opinion_of_each_person_stands() {
    use ReviewState::{Approved, ChangesRequested, Commented, Dismissed};
    let mut github = github();
    github.repo("acme/checkout").pull_request(PullRequest::new(42, "feature/x"));
    let mut said = |by: &str, state| github.review("acme/checkout", 42, by, state);
    said("alice", Approved);
    said("bob", Approved);
    said("bob", ChangesRequested);
    said("carol", ChangesRequested);
    said("carol", Approved);
    said("carol", Commented);
    said("dave", Approved);
    said("dave", Dismissed);
    said("erin", Commented);
    said("frank", Approved);
    let old = github.head("acme/checkout", "feature/x").unwrap();
    let new = github.person_pushes("acme/checkout", "feature/x", "bob", &[("more.txt", "more")], "More");
    github.review("acme/checkout", 42, "grace", Approved);
    github.reader("acme/checkout", "frank");
    let mut latest = |arguments: &str| {
        let query = format!(
            "{{ repository(owner: \"acme\", name: \"checkout\") {{ pullRequest(number: 42) {{
                 latestOpinionatedReviews({arguments}) {{
                   totalCount pageInfo {{ hasNextPage }}
                   nodes {{ state author {{ __typename login }} authorCanPushToRepository commit {{ oid }} }}
                 }}
               }} }} }}"
        );
        let data = data(&mut github, &query);
        let reviews = &data["repository"]["pullRequest"]["latestOpinionatedReviews"];
        let line = |node: &Value| {
            let commit = if node["commit"]["oid"] == json!(new) { "new" } else { "old" };
            format!("{} {} {commit}", node["author"]["login"].as_str().unwrap(), node["state"].as_str().unwrap())
        };
        let nodes: Vec<String> = reviews["nodes"].as_array().unwrap().iter().map(line).collect();
        format!("{} of {}, more: {}", nodes.join(", "), reviews["totalCount"], reviews["pageInfo"]["hasNextPage"])
    };
    assert_ne!(old, new);
    insta::assert_snapshot!([latest("first: 100"), latest("first: 100, writersOnly: true"), latest("first: 2")].join("\n"), @"
    alice APPROVED old, bob CHANGES_REQUESTED old, carol APPROVED old, dave DISMISSED old, frank APPROVED old, grace APPROVED new of 6, more: false
    alice APPROVED old, bob CHANGES_REQUESTED old, carol APPROVED old, dave DISMISSED old, grace APPROVED new of 5, more: false
    alice APPROVED old, bob CHANGES_REQUESTED old of 6, more: true
    ");
}

#[test]
fn every_field_of_the_schema_has_an_answer() {
    let mut github = github();
    github.repo(GITOPS).commit("Change", &[("checkout/values.yaml", "tag: 1\n")]).checks(Checks::Failure);
    github.repo(GITOPS).pull_request(PullRequest::new(1, "topic"));
    github
        .repo(GITOPS)
        .pull_request(PullRequest { head: Head::Fork("mallory/gitops".to_owned()), ..PullRequest::new(2, "topic") });
    let head = github.head(GITOPS, "main").unwrap();
    commit(&mut github, &head, "tag: 2\n");
    for number in [1, 2] {
        let argument = |on: &str, field: &str| match (on, field) {
            ("Query", "repository") => "(owner: \"acme\", name: \"gitops\")".to_owned(),
            ("Repository", "ref") => "(qualifiedName: \"main\")".to_owned(),
            ("Repository", "refs") => "(refPrefix: \"refs/heads/\", first: 1)".to_owned(),
            ("Repository", "object") => "(expression: \"main:checkout/values.yaml\")".to_owned(),
            ("Repository", "pullRequest") => format!("(number: {number})"),
            ("Commit", "file") => "(path: \"checkout\")".to_owned(),
            ("Ref", "compare") => "(headRef: \"main\")".to_owned(),
            (
                _,
                "pullRequests"
                | "history"
                | "parents"
                | "commits"
                | "latestOpinionatedReviews"
                | "associatedPullRequests",
            ) => "(first: 1)".to_owned(),
            _ => String::new(),
        };
        let query = schema::SCHEMA.everything("Query", 5, &argument);
        let answer = ask(&mut github, &query, json!({}));
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        // A fork is not ours to read, so its pull requests are not found.
        let unexpected: Vec<_> =
            errors.iter().filter(|error| error["message"] != "Could not resolve to a PullRequest.").collect();
        assert_eq!(unexpected, Vec::<&Value>::new());
        assert!(answer["data"]["Query_repository"]["Repository_pullRequest"].is_object());
    }
}

#[test]
fn what_is_missing_is_null_and_sometimes_an_error() {
    let mut github = github();
    let answer =
        ask(&mut github, "{ viewer { login } repository(owner: \"acme\", name: \"nothing\") { name } }", json!({}));
    insta::assert_snapshot!(lines(&answer), @r#"
    data.repository: null
    data.viewer.login: "deploy-bot[bot]"
    errors[0].locations[0].column: 20
    errors[0].locations[0].line: 1
    errors[0].message: "Could not resolve to a Repository with the name 'acme/nothing'."
    errors[0].path[0]: "repository"
    errors[0].type: "NOT_FOUND"
    "#);
    let answer = ask(
        &mut github,
        "{ repository(owner: \"acme\", name: \"gitops\") { name pullRequest(number: 7) { state } } }",
        json!({}),
    );
    insta::assert_snapshot!(lines(&answer), @r#"
    data.repository.name: "gitops"
    data.repository.pullRequest: null
    errors[0].locations[0].column: 52
    errors[0].locations[0].line: 1
    errors[0].message: "Could not resolve to a PullRequest with the number of 7."
    errors[0].path[0]: "repository"
    errors[0].path[1]: "pullRequest"
    errors[0].type: "NOT_FOUND"
    "#);
    let answer = data(
        &mut github,
        "{ repository(owner: \"acme\", name: \"gitops\") {
             ref(qualifiedName: \"refs/heads/nothing\") { name }
             object(expression: \"main:nothing\") { oid }
         } }",
    );
    assert_eq!(answer, json!({ "repository": { "ref": null, "object": null } }));
    github.repo(GITOPS).access(Access::None);
    let answer = ask(&mut github, "{ repository(owner: \"acme\", name: \"gitops\") { name } }", json!({}));
    assert_eq!(answer["errors"][0]["type"], "NOT_FOUND");
}

#[test]
fn a_wrong_query_fails_loudly() {
    let mut github = github();
    let mut check = |query: &str, variables: Value, code: &str, message: &str| {
        let answer = ask(&mut github, query, variables);
        assert_eq!(answer.get("data"), None, "{query}");
        let error = &answer["errors"][0];
        assert_eq!(
            (error["extensions"]["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap()),
            (code, message),
            "{query}"
        );
    };
    let in_repository = |inner: &str| format!("{{ repository(owner: \"acme\", name: \"gitops\") {{ {inner} }} }}");
    let none = || json!({});
    check("{ viewer { logi } }", none(), "undefinedField", "Field 'logi' doesn't exist on type 'User'");
    check(
        "{ viewer { login(size: 1) } }",
        none(),
        "argumentNotAccepted",
        "Field 'login' doesn't accept argument 'size'",
    );
    check(
        &in_repository("pullRequest { title }"),
        none(),
        "missingRequiredArguments",
        "Field 'pullRequest' is missing required arguments: number",
    );
    check(
        &in_repository("pullRequest(number: \"42\") { title }"),
        none(),
        "argumentLiteralsIncompatible",
        "Argument 'number' on Field 'pullRequest' has an invalid value. Expected type 'Int!'.",
    );
    check(
        "{ viewer }",
        none(),
        "selectionMismatch",
        "Field must have selections (field 'viewer' returns User but has no selections. Did you mean 'viewer { ... }'?)",
    );
    check(
        "{ viewer { login { name } } }",
        none(),
        "selectionMismatch",
        "Selections can't be made on scalars (field 'login' returns String but has selections)",
    );
    check(
        "{ viewer { ... on Commit { oid } } }",
        none(),
        "cannotSpreadFragment",
        "Fragment on Commit can't be spread inside User",
    );
    check(
        "{ viewer { ... on Nothing { oid } } }",
        none(),
        "undefinedType",
        "No such type Nothing, so it can't be a fragment condition",
    );
    check(
        &in_repository("ref(qualifiedName: \"a\") { name } ref(qualifiedName: \"b\") { name }"),
        none(),
        "fieldConflict",
        "Field 'ref' has an argument conflict or stands for two fields",
    );
    let by_number = "query Q($n: Int) { repository(owner: \"a\", name: \"b\") { pullRequest(number: $n) { title } } }";
    check(
        by_number,
        json!({ "n": 1 }),
        "variableMismatch",
        "Type mismatch on variable $n and argument number (Int / Int!)",
    );
    check(
        &by_number.replace("($n: Int)", ""),
        none(),
        "variableNotDefined",
        "Variable $n is used by Q but not declared",
    );
    check(
        "query Q($n: Int) { viewer { login } }",
        none(),
        "variableNotUsed",
        "Variable $n is declared by Q but not used",
    );
    check(
        "query Q($n: Nothing) { viewer { login } }",
        none(),
        "variableRequiresValidType",
        "Nothing isn't a defined input type (on $n)",
    );
    let required = by_number.replace("$n: Int", "$n: Int!");
    check(&required, none(), "", "Variable $n of type Int! was provided invalid value");
    check(&required, json!({ "n": "42" }), "", "Variable $n of type Int! was provided invalid value");
    check(&required, json!({ "n": 42.0 }), "", "Variable $n of type Int! was provided invalid value");
    check("{ viewer { login }", none(), "", "Parse error on \"end of document\" at [1, 19]");
    check("{ viewer { ...Login } }", none(), "", "Parse error on \"Login\" at [1, 15]");
    check("query A { viewer { login } } query B { viewer { login } }", none(), "", "An operation name is required");
}

#[test]
fn a_list_needs_a_bound_and_comes_in_pages() {
    let mut github = github();
    for message in ["two", "three", "four"] {
        github.person_pushes(GITOPS, "main", "alice", &[("checkout/values.yaml", message)], message);
    }
    github.person_pushes(GITOPS, "main", "bob", &[("other.txt", "x")], "elsewhere");
    let history = |arguments: &str| {
        format!(
            "{{ repository(owner: \"acme\", name: \"gitops\") {{ defaultBranchRef {{ target {{ ... on Commit {{
               history{arguments} {{ totalCount nodes {{ message }} pageInfo {{ hasNextPage endCursor }} }} }} }} }} }} }}"
        )
    };
    let kind = |answer: Value| {
        (answer["errors"][0]["type"].clone(), answer["data"]["repository"]["defaultBranchRef"]["target"].clone())
    };
    assert_eq!(kind(ask(&mut github, &history(""), json!({}))), (json!("MISSING_PAGINATION_BOUNDARIES"), Value::Null));
    assert_eq!(
        kind(ask(&mut github, &history("(first: 101)"), json!({}))),
        (json!("EXCESSIVE_PAGINATION"), Value::Null)
    );
    assert_eq!(
        kind(ask(&mut github, &history("(first: 1, after: \"x\")"), json!({}))),
        (json!("INVALID_CURSOR_ARGUMENTS"), Value::Null)
    );

    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = data(&mut github, &history(&format!("(first: 2, path: \"checkout/values.yaml\"{after})")));
        let history = &page["repository"]["defaultBranchRef"]["target"]["history"];
        assert_eq!(history["totalCount"], 4);
        seen.extend(
            history["nodes"].as_array().unwrap().iter().map(|commit| commit["message"].as_str().unwrap().to_owned()),
        );
        if history["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", history["pageInfo"]["endCursor"]);
    }
    assert_eq!(seen, ["four", "three", "two", "Write checkout/values.yaml"]);
    let since = data(&mut github, &history("(first: 9, since: \"2100-01-01T00:00:00Z\")"));
    assert_eq!(since["repository"]["defaultBranchRef"]["target"]["history"]["totalCount"], 0);
}

#[test]
fn blob_text_is_not_always_the_bytes() {
    let mut github = github();
    let long = "ä".repeat(300_000);
    let head = github.repo(GITOPS).file("bom", "\u{feff}a: 1\n").file("binary", b"a\0b").file("long", &long).head();
    let mut blob = |path: &str| {
        let query = format!(
            "{{ repository(owner: \"acme\", name: \"gitops\") {{ object(expression: \"{head}:{path}\") {{
               ... on Blob {{ oid text isBinary isTruncated byteSize }} }} }} }}"
        );
        data(&mut github, &query)["repository"]["object"].clone()
    };
    let bom = blob("bom");
    assert_eq!(
        (&bom["text"], &bom["byteSize"], &bom["oid"]),
        (&json!("a: 1\n"), &json!(8), &json!(blob_sha("\u{feff}a: 1\n".as_bytes())))
    );
    let binary = blob("binary");
    assert_eq!((&binary["text"], &binary["isBinary"]), (&Value::Null, &json!(true)));
    let cut = blob("long");
    assert_eq!(
        (cut["text"].as_str().unwrap().len(), &cut["isTruncated"], &cut["byteSize"]),
        (512 * 1024, &json!(true), &json!(600_000))
    );
    assert_eq!(blob("checkout"), json!({}), "a folder is a Tree");
}

#[test]
fn pull_requests_have_many_states() {
    let mut github = github();
    github.repo("acme/checkout").commit("Begin", &[]).pull_request(PullRequest::new(1, "topic"));
    github
        .repo("acme/checkout")
        .pull_request(PullRequest { head: Head::Fork("mallory/checkout".to_owned()), ..PullRequest::new(2, "main") });
    github.repo("acme/checkout").pull_request(PullRequest {
        head: Head::DeletedFork,
        author: None,
        draft: true,
        ..PullRequest::new(3, "x")
    });
    let read = |github: &mut GitHub, number: u64| {
        let query = format!(
            "{{ repository(owner: \"acme\", name: \"checkout\") {{ pullRequest(number: {number}) {{
               state isDraft isCrossRepository headRefOid headRepository {{ nameWithOwner }} author {{ __typename login }} }} }} }}"
        );
        data(github, &query)["repository"]["pullRequest"].clone()
    };
    let pushed = github.person_pushes("acme/checkout", "topic", "alice", &[("a", "b")], "More");
    let own = read(&mut github, 1);
    assert_eq!((&own["headRefOid"], &own["isCrossRepository"]), (&json!(pushed), &json!(false)));
    assert_eq!(own["author"], json!({ "__typename": "User", "login": "alice" }));
    let fork = read(&mut github, 2);
    assert_eq!(
        (&fork["isCrossRepository"], &fork["headRepository"]),
        (&json!(true), &json!({ "nameWithOwner": "mallory/checkout" }))
    );
    let gone = read(&mut github, 3);
    assert_eq!(
        (&gone["isCrossRepository"], &gone["headRepository"], &gone["author"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(gone["isDraft"], true);

    github.delete_branch("acme/checkout", "topic", "alice");
    assert_eq!(read(&mut github, 1)["state"], "CLOSED");
    github.pull_request("acme/checkout", 1).state = PullRequestState::Merged;
    assert_eq!(read(&mut github, 1)["state"], "MERGED");
}

// ---- The mutation ----

#[test]
fn a_commit_moves_the_branch_and_is_signed() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    let answer = commit(&mut github, &head, "image:\n  tag: \"main-1234567\"\n");
    let made = github.commits(GITOPS, "main").remove(0);
    let url = format!("https://github.com/acme/gitops/commit/{}", made.sha);
    assert_eq!(answer, json!({ "data": { "createCommitOnBranch": { "commit": { "oid": made.sha, "url": url } } } }));
    assert_eq!(made.message, "Deploy checkout\n\nDeploy-Id: 1");
    assert_eq!((made.author, made.committer), (Person::account("deploy-bot[bot]"), Person::web_flow()));
    assert_eq!((made.modified, made.parents), (vec!["checkout/values.yaml".to_owned()], vec![head]));
    assert_eq!(github.file_at(GITOPS, "main", "checkout/values.yaml").unwrap(), b"image:\n  tag: \"main-1234567\"\n");
    let signature = data(
        &mut github,
        "{ repository(owner: \"acme\", name: \"gitops\") { object(expression: \"main\") { ... on Commit {
             additions deletions changedFilesIfAvailable committedDate parents(first: 2) { totalCount }
             signature { isValid wasSignedByGitHub signer { login } } author { user { login } } } } } }",
    );
    insta::assert_snapshot!(lines(&signature["repository"]["object"]), @r#"
    additions: 1
    author.user.login: "deploy-bot[bot]"
    changedFilesIfAvailable: 1
    committedDate: "2027-01-15T08:00:00Z"
    deletions: 1
    parents.totalCount: 1
    signature.isValid: true
    signature.signer.login: "web-flow"
    signature.wasSignedByGitHub: true
    "#);

    // The same content again is one more commit.
    let head = github.head(GITOPS, "main").unwrap();
    commit(&mut github, &head, "image:\n  tag: \"main-1234567\"\n");
    assert_eq!(github.commits(GITOPS, "main").len(), 3);
    assert_eq!(github.commits(GITOPS, "main")[0].changed(), Vec::<String>::new());
    assert_eq!((github.calls("github.commit"), github.calls("github.query")), (2, 1));
}

#[test]
fn a_commit_makes_a_plain_file_of_whatever_was_there() {
    const FILE: &str = "checkout/values.yaml";
    let mut github = github();
    let read = |mode: u32| {
        let text = |digit: &str| if mode == SUBMODULE { digit.repeat(40) } else { format!("tag: {digit}\n") };
        let commit_it = NewCommit::new("Change the mode", &[(FILE, &text("0"))]);
        github.push(GITOPS, "main", "alice", &[NewCommit { modes: vec![(FILE.to_owned(), mode)], ..commit_it }]);
        // Whoever writes the file keeps its mode.
        let head = github.person_pushes(GITOPS, "main", "bob", &[(FILE, &text("1"))], "Write");
        let query = format!(
            "{{ repository(owner: \"acme\", name: \"gitops\") {{ ref(qualifiedName: \"main\") {{ target {{ ... on Commit {{
               file(path: \"{FILE}\") {{ mode type oid object {{ ... on Blob {{ text }} }} }} }} }} }} }} }}"
        );
        let found = data(&mut github, &query)["repository"]["ref"]["target"]["file"].clone();
        commit(&mut github, &head, "tag: 2\n");
        let after = github.commits(GITOPS, "main").remove(0);
        assert_eq!(after.files[FILE], File::plain("tag: 2\n"));
        lines(&found).replace('\n', ", ")
    };
    insta::assert_snapshot!([PLAIN, EXECUTABLE, SYMLINK, SUBMODULE].map(read).join("\n"), @r#"
    mode: 33188, object.text: "tag: 1\n", oid: "4cb11d537d459807a48acc62d5d6bbe5db300a13", type: "blob"
    mode: 33261, object.text: "tag: 1\n", oid: "4cb11d537d459807a48acc62d5d6bbe5db300a13", type: "blob"
    mode: 40960, object.text: "tag: 1\n", oid: "4cb11d537d459807a48acc62d5d6bbe5db300a13", type: "blob"
    mode: 57344, object: null, oid: "1111111111111111111111111111111111111111", type: "commit"
    "#);
}

#[test]
fn only_one_of_two_commits_on_the_same_head_lands() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    commit(&mut github, &head, "one");
    let stale = commit(&mut github, &head, "two");
    assert_eq!(stale["data"], json!({ "createCommitOnBranch": null }));
    let error = &stale["errors"][0];
    assert_eq!((&error["type"], &error["path"]), (&json!("STALE_DATA"), &json!(["createCommitOnBranch"])));
    assert_eq!(
        error["message"],
        format!("Expected branch to point to \"{head}\" but it did not.  Pull and try again.")
    );
    assert_eq!(github.commits(GITOPS, "main").len(), 2);

    github.stale_answer = StaleAnswer::LostRace;
    let stale = commit(&mut github, &head, "two");
    assert_eq!(stale["errors"][0]["type"], "UNPROCESSABLE");
    assert_eq!(github.commits(GITOPS, "main").len(), 2);
}

#[test]
fn a_refused_commit_changes_nothing_and_says_why() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    let check = |github: &mut GitHub, input: Value, kind: &str, message: &str| {
        let answer = ask(github, COMMIT, input);
        let error = &answer["errors"][0];
        assert_eq!((error["type"].as_str().unwrap(), error["message"].as_str().unwrap()), (kind, message));
        assert_eq!(answer["data"], json!({ "createCommitOnBranch": null }));
        assert_eq!(github.head(GITOPS, "main").as_ref(), Some(&head));
        assert!(github.deliveries().is_empty());
    };
    let good = || commit_input(&head, "x");
    let changed = |pointer: &str, value: Value| {
        let mut input = good();
        *input.pointer_mut(pointer).unwrap() = value;
        input
    };
    check(
        &mut github,
        changed("/input/branch/repositoryNameWithOwner", json!("acme/nothing")),
        "NOT_FOUND",
        "Could not resolve to a Repository with the name 'acme/nothing'.",
    );
    check(&mut github, changed("/input/branch/branchName", json!("nothing")), "NOT_FOUND", "Branch not found");
    check(
        &mut github,
        changed("/input/message/headline", json!(" ")),
        "UNPROCESSABLE",
        "A commit headline is required.",
    );
    check(
        &mut github,
        changed("/input/fileChanges/additions/0/path", json!("../x")),
        "UNPROCESSABLE",
        "The path `../x` is not valid.",
    );
    let deletion = changed("/input/fileChanges", json!({ "deletions": [{ "path": "nothing" }] }));
    check(
        &mut github,
        deletion,
        "NOT_FOUND",
        &format!("A path was requested for deletion which does not exist as of commit oid `{head}`"),
    );
    github.repo(GITOPS).access(Access::Read);
    check(&mut github, good(), "FORBIDDEN", "Resource not accessible by integration");
    github.repo(GITOPS).access(Access::Write).protect(Protection::Classic);
    let message = "protected branch 'main' check failed:\nChanges must be made through a pull request.";
    check(&mut github, good(), "BRANCH_PROTECTION_RULE_VIOLATION", message);
    github.repo(GITOPS).protect(Protection::Ruleset);
    check(
        &mut github,
        good(),
        "UNPROCESSABLE",
        "Repository rule violations found\n\nChanges must be made through a pull request.\n\n",
    );

    let mut user = GitHub::new("ghp_secret", "robot");
    let head = user.repo(GITOPS).file("checkout/values.yaml", VALUES).access(Access::Read).head();
    assert_eq!(
        commit(&mut user, &head, "x")["errors"][0]["message"],
        "Resource not accessible by personal access token"
    );
}

#[test]
fn a_mutation_with_a_wrong_input_is_not_even_begun() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    let mut check = |pointer: &str, name: &str, value: Value, message: &str| {
        let mut input = commit_input(&head, "x");
        input.pointer_mut(pointer).unwrap()[name] = value;
        let answer = ask(&mut github, COMMIT, input);
        let start = "Variable $input of type CreateCommitOnBranchInput! was provided invalid value for ";
        assert_eq!(answer["errors"][0]["message"].as_str().unwrap(), format!("{start}{message}"));
        assert_eq!(answer.get("data"), None);
    };
    check("/input", "expectedHeadOid", Value::Null, "expectedHeadOid (Expected value to not be null)");
    check("/input", "expectedHeadOid", json!("abc"), "expectedHeadOid (Could not coerce value \"abc\" to GitObjectID)");
    check("/input", "author", json!("me"), "author (Field is not defined on CreateCommitOnBranchInput)");
    check("/input/message", "headline", Value::Null, "message.headline (Expected value to not be null)");
    let not_base64 = "fileChanges.additions.0.contents (Could not coerce value \"tag: 1\" to Base64String)";
    check("/input/fileChanges/additions/0", "contents", json!("tag: 1"), not_base64);
    assert_eq!(github.commits(GITOPS, "main").len(), 1);
}

#[test]
fn a_mutation_may_spell_its_input_out() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    let query = "mutation($head: GitObjectID!, $files: [FileAddition!]) { createCommitOnBranch(input: {
        branch: { repositoryNameWithOwner: \"acme/gitops\", branchName: \"main\" }, expectedHeadOid: $head,
        message: { headline: \"Go\" }, fileChanges: { additions: $files } }) { commit { message } } }";
    let files = json!([{ "path": "a/b", "contents": "eA==" }]);
    let answer = ask(&mut github, query, json!({ "head": head, "files": files }));
    assert_eq!(answer, json!({ "data": { "createCommitOnBranch": { "commit": { "message": "Go" } } } }));
    assert_eq!(github.file_at(GITOPS, "main", "a/b").unwrap(), b"x");
}

#[test]
fn content_may_be_made_so_often_a_minute() {
    let mut github = github();
    github.writes_per_minute = 2;
    for text in ["one", "two"] {
        let head = github.head(GITOPS, "main").unwrap();
        commit(&mut github, &head, text);
    }
    let head = github.head(GITOPS, "main").unwrap();
    let refused = post(&mut github, COMMIT, commit_input(&head, "three"));
    assert_eq!((refused.status, header(&refused.headers, "retry-after")), (403, "60"));
    assert!(json_of(&refused)["message"].as_str().unwrap().starts_with("You have exceeded a secondary rate limit."));
    assert_eq!(github.head(GITOPS, "main"), Some(head.clone()));
    assert!(data(&mut github, "{ viewer { login } }").is_object(), "reading goes on");
    github.tick(NOW + 60_000);
    assert!(commit(&mut github, &head, "three").get("errors").is_none());
    assert_eq!(github.limited(), 1);

    // The limit of the hour is another one, and holds longer.
    github.writes_per_hour = 3;
    let head = github.head(GITOPS, "main").unwrap();
    let refused = post(&mut github, COMMIT, commit_input(&head, "four"));
    assert_eq!((refused.status, header(&refused.headers, "retry-after")), (403, "3540"));
    github.tick(NOW + 3_600_000);
    assert!(commit(&mut github, &head, "four").get("errors").is_none());
}

#[test]
fn calls_are_counted_down() {
    let mut github = github();
    github.calls_per_hour(1);
    let response = post(&mut github, "{ viewer { login } }", json!({}));
    assert_eq!(header(&response.headers, "x-ratelimit-remaining"), "0");
    assert_eq!(header(&response.headers, "x-ratelimit-resource"), "graphql");
    let refused = ask(&mut github, "{ viewer { login } }", json!({}));
    assert_eq!((&refused["errors"][0]["type"], refused.get("data")), (&json!("RATE_LIMITED"), None));
    assert_eq!(get(&mut github, "/user", "").status, 403);
    github.tick(NOW + 3_600_000);
    assert_eq!(get(&mut github, "/user", "").status, 200);
}

// ---- Who may ask ----

#[test]
fn everybody_needs_a_name_and_a_token() {
    let mut github = github();
    let check = |github: &mut GitHub, headers: &[(&str, &str)], status: u16, text: &str| {
        let response = ask_with(github, "GET /user", headers, b"");
        assert_eq!(response.status, status);
        assert!(String::from_utf8(response.body).unwrap().contains(text));
    };
    check(&mut github, &HEADERS[1..], 403, "Please make sure your request has a User-Agent header");
    check(&mut github, &HEADERS[..1], 401, "Bad credentials");
    check(&mut github, &[HEADERS[0], ("authorization", "Bearer ghp_wrong")], 401, "Bad credentials");
    check(&mut github, &[HEADERS[0], ("authorization", "ghp_secret")], 401, "Bad credentials");
    check(&mut github, &[HEADERS[0], ("authorization", "token ghp_secret")], 200, "deploy-bot[bot]");
}

#[test]
fn the_api_is_at_two_places() {
    let mut github = github();
    let body = json!({ "query": "{ viewer { login } }" }).to_string();
    for path in ["/graphql", "/api/graphql"] {
        let response = ask_with(&mut github, &format!("POST {path}"), &HEADERS, body.as_bytes());
        assert_eq!(json_of(&response), json!({ "data": { "viewer": { "login": "deploy-bot[bot]" } } }));
    }
    for path in ["/user", "/api/v3/user"] {
        assert_eq!(json_of(&get(&mut github, path, ""))["type"], "Bot");
    }
    assert_eq!(ask_with(&mut github, "GET /graphql", &HEADERS, b"").status, 404);
    assert_eq!(get(&mut github, "/repos/acme/gitops/pulls/1", "").status, 404);
    assert_eq!(github.calls("github.unexpected"), 2);
    assert_eq!(ask_with(&mut github, "POST /graphql", &HEADERS, b"{").status, 400);
    assert_eq!(ask_with(&mut github, "POST /graphql", &HEADERS, b"{}").status, 400);
}

#[test]
fn rest_gives_the_exact_bytes() {
    let mut github = github();
    let text = format!("\u{feff}{}", "x: 1\n".repeat(20));
    github.repo(GITOPS).file("pay/my values.yaml", &text);
    let path = "/repos/acme/gitops/contents/pay/my%20values.yaml?ref=main";
    for accept in ["application/vnd.github.raw+json", "application/vnd.github.raw", "application/vnd.github.v3.raw"] {
        assert_eq!(get(&mut github, path, accept).body, text.as_bytes(), "{accept}");
    }
    let file = json_of(&get(&mut github, path, "application/vnd.github+json"));
    let sha = blob_sha(text.as_bytes());
    assert_eq!((&file["sha"], &file["encoding"], &file["size"]), (&json!(sha), &json!("base64"), &json!(103)));
    let content = file["content"].as_str().unwrap();
    assert!(content.lines().all(|line| line.len() <= 60) && content.ends_with('\n'));
    assert_eq!(decode_base64(&content.replace('\n', "")).unwrap(), text.as_bytes());

    let blob = format!("/api/v3/repos/acme/gitops/git/blobs/{sha}");
    assert_eq!(get(&mut github, &blob, "application/vnd.github.raw+json").body, text.as_bytes());
    assert_eq!(json_of(&get(&mut github, &blob, ""))["content"], content);
    let folder = json_of(&get(&mut github, "/repos/acme/gitops/contents/", ""));
    assert_eq!((&folder[0]["path"], &folder[1]["type"]), (&json!("checkout"), &json!("dir")));

    github.repo(GITOPS).file("big", vec![b'x'; 1024 * 1024]);
    let big = json_of(&get(&mut github, "/repos/acme/gitops/contents/big", ""));
    assert_eq!((&big["encoding"], &big["content"]), (&json!("none"), &json!("")));
    for (path, status) in [("contents/nothing", 404), ("contents/big?ref=nothing", 404), ("git/blobs/abc", 422)] {
        assert_eq!(get(&mut github, &format!("/repos/acme/gitops/{path}"), "").status, status, "{path}");
    }
    assert_eq!(get(&mut github, &format!("/repos/acme/gitops/git/blobs/{}", "0".repeat(40)), "").status, 404);
}

// ---- Comparisons ----

const APP: &str = "acme/checkout";

/// The first and the newest of this many commits on top of another.
fn commits_on_top(github: &mut GitHub, count: usize) -> (String, String) {
    let base = github.repo(APP).commit("Begin", &[("main.rs", "fn main() {}\n")]).head();
    let new = |n| NewCommit::new(&format!("Change {n}\n\nWhy"), &[("main.rs", &format!("// {n}\n"))]);
    let all: Vec<NewCommit> = (1..=count).map(new).collect();
    let head = github.push(APP, "topic", "bob", &all);
    (base, head)
}

fn compare(github: &mut GitHub, base: &str, head: &str, paging: &str) -> Value {
    let response = get(github, &format!("/repos/{APP}/compare/{base}...{head}{paging}"), "application/vnd.github+json");
    assert_eq!(response.status, 200, "{base}...{head}{paging}");
    json_of(&response)
}

fn subjects(comparison: &Value) -> Vec<&str> {
    let commits = comparison["commits"].as_array().unwrap().iter();
    commits.map(|commit| commit["commit"]["message"].as_str().unwrap().lines().next().unwrap()).collect()
}

#[test]
fn a_comparison_lists_what_the_head_has_more_oldest_first() {
    let mut github = github();
    let (base, head) = commits_on_top(&mut github, 3);
    let found = compare(&mut github, &base, &head, "");
    assert_eq!(subjects(&found), ["Change 1", "Change 2", "Change 3"]);
    let numbers = |found: &Value| {
        let number = |name: &str| found[name].as_u64().unwrap();
        let numbers = [number("ahead_by"), number("behind_by"), number("total_commits")];
        (found["status"].as_str().unwrap().to_owned(), numbers)
    };
    assert_eq!(numbers(&found), ("ahead".to_owned(), [3, 0, 3]));
    assert_eq!(found["html_url"], format!("https://github.com/acme/checkout/compare/{base}...{head}"));
    assert_eq!(found["files"][0]["patch"], "-fn main() {}\n+// 3");
    let newest = &found["commits"][2];
    assert_eq!((&newest["sha"], &newest["author"]["login"]), (&json!(head), &json!("bob")));
    assert_eq!(newest["html_url"], format!("https://github.com/acme/checkout/commit/{head}"));

    assert_eq!(numbers(&compare(&mut github, &head, &head, "")), ("identical".to_owned(), [0, 0, 0]));
    assert_eq!(numbers(&compare(&mut github, &head, &base, "")), ("behind".to_owned(), [0, 3, 0]));
    assert_eq!(numbers(&compare(&mut github, &base[..7], "topic", "")), ("ahead".to_owned(), [3, 0, 3]));

    let stranger = Person { name: "Eve".to_owned(), email: "eve@example.com".to_owned() };
    let by_nobody = NewCommit { author: Some(stranger), ..NewCommit::new("On main", &[("other", "1")]) };
    github.push(APP, "main", "alice", &[by_nobody]);
    let diverged = compare(&mut github, "topic", "main", "");
    assert_eq!(numbers(&diverged), ("diverged".to_owned(), [1, 3, 1]));
    assert_eq!(diverged["commits"][0]["author"], Value::Null);

    let elsewhere = github.force_push(APP, "orphan", "bob", &"0".repeat(40), &[NewCommit::new("Alone", &[("a", "1")])]);
    for (base, head) in
        [(&base, &"1".repeat(40)), (&"1".repeat(40), &head), (&base, &elsewhere), (&base, &String::new())]
    {
        let response = get(&mut github, &format!("/repos/{APP}/compare/{base}...{head}"), "application/json");
        assert_eq!(response.status, 404, "{base}...{head}");
    }
    github.repo(APP).access(Access::None);
    let hidden = get(&mut github, &format!("/repos/{APP}/compare/{base}...{head}"), "application/json");
    assert_eq!((hidden.status, github.calls("github.compare")), (404, 10));
}

#[test]
fn a_long_comparison_comes_in_pages_and_only_the_first_has_files() {
    let mut github = github();
    let (base, head) = commits_on_top(&mut github, 260);
    let all = compare(&mut github, &base, &head, "");
    assert_eq!((subjects(&all).len(), subjects(&all)[0], all["total_commits"].as_u64()), (250, "Change 11", Some(260)));
    let check = |github: &mut GitHub, paging: &str, count: usize, first: &str, files: usize| {
        let page = compare(github, &base, &head, paging);
        assert_eq!(
            (subjects(&page).len(), subjects(&page).first().copied().unwrap_or_default()),
            (count, first),
            "{paging}"
        );
        assert_eq!(
            (page["files"].as_array().unwrap().len(), page["ahead_by"].as_u64()),
            (files, Some(260)),
            "{paging}"
        );
    };
    check(&mut github, "?per_page=10", 10, "Change 1", 1);
    check(&mut github, "?per_page=10&page=2", 10, "Change 11", 0);
    check(&mut github, "?per_page=1000&page=3", 60, "Change 201", 0);
    check(&mut github, "?page=9", 20, "Change 241", 0);
    check(&mut github, "?per_page=100&page=4", 0, "", 0);
}

// ---- Deployments ----

fn deploy(github: &mut GitHub, body: &Value) -> (u16, Value) {
    let response = ask_with(github, &format!("POST /repos/{APP}/deployments"), &HEADERS, body.to_string().as_bytes());
    (response.status, json_of(&response))
}

fn say(github: &mut GitHub, id: u64, body: &Value) -> (u16, Value) {
    let line = format!("POST /api/v3/repos/{APP}/deployments/{id}/statuses");
    let response = ask_with(github, &line, &HEADERS, body.to_string().as_bytes());
    (response.status, json_of(&response))
}

fn plain(reference: &str, environment: &str) -> Value {
    json!({ "ref": reference, "environment": environment, "auto_merge": false, "required_contexts": [] })
}

#[test]
fn a_deployment_is_made_and_told_how_it_goes() {
    let mut github = github();
    let (_, head) = commits_on_top(&mut github, 1);
    let mut body = plain(&head, "staging");
    body["description"] = json!("by alice");
    body["payload"] = json!({ "deploy_id": "0123" });
    body["production_environment"] = json!(false);
    let (status, made) = deploy(&mut github, &body);
    assert_eq!((status, &made["sha"], &made["creator"]["login"]), (201, &json!(head), &json!("deploy-bot[bot]")));
    let id = made["id"].as_u64().unwrap();
    let success =
        json!({ "state": "success", "description": "live", "environment_url": "https://x", "log_url": "https://y" });
    assert_eq!(say(&mut github, id, &json!({ "state": "in_progress" })).0, 201);
    assert_eq!(say(&mut github, id, &success).0, 201);
    insta::assert_debug_snapshot!(github.deployments(APP)[0].statuses[1], @r#"
    DeploymentStatus {
        state: "success",
        description: "live",
        environment_url: "https://x",
        log_url: "https://y",
    }
    "#);
    let made = &github.deployments(APP)[0];
    assert_eq!((made.id, made.environment.as_str(), made.production, made.transient), (id, "staging", false, false));
    assert_eq!((made.description.as_str(), &made.payload), ("by alice", &json!({ "deploy_id": "0123" })));

    // The next success in the same environment ends this one, unless it is production.
    for (reference, environment) in [("topic", "staging"), ("main", "production"), ("topic", "production")] {
        let id = deploy(&mut github, &plain(reference, environment)).1["id"].as_u64().unwrap();
        assert_eq!(say(&mut github, id, &success).0, 201);
    }
    let last = |nth: usize| github.deployments(APP)[nth].statuses.last().unwrap().state.clone();
    assert_eq!([last(0), last(1), last(2), last(3)], ["inactive", "success", "success", "success"]);
    assert!(github.deployments(APP)[2].production);
    assert_eq!((github.calls("github.deployment"), github.calls("github.deployment_status")), (4, 5));
}

#[test]
fn a_deployment_that_github_refuses_is_not_made() {
    let mut github = github();
    let (base, head) = commits_on_top(&mut github, 1);
    assert_eq!(deploy(&mut github, &json!({})).0, 422);
    let unknown = deploy(&mut github, &plain("gone", "x"));
    assert_eq!((unknown.0, &unknown.1["message"]), (422, &json!("No ref found for: gone")));
    assert_eq!(deploy(&mut github, &plain(&"1".repeat(40), "x")).0, 422);

    // Without `required_contexts: []`, checks have to be successful.
    github.checks(APP, &head, Some(Checks::Pending));
    let mut checked = plain(&head, "x");
    checked.as_object_mut().unwrap().remove("required_contexts");
    let refused = deploy(&mut github, &checked);
    assert_eq!(refused.0, 409);
    assert_eq!(refused.1["message"], format!("Conflict: Commit status checks failed for {head}."));
    checked["required_contexts"] = json!(["ci"]);
    assert_eq!(deploy(&mut github, &checked).0, 409);

    // Without `auto_merge: false`, what is behind the default branch is merged instead, if it can be.
    let merging = json!({ "ref": "topic", "required_contexts": [] });
    github.person_pushes(APP, "main", "alice", &[("other", "1")], "Other");
    assert_eq!(deploy(&mut github, &merging).0, 202);
    github.person_pushes(APP, "main", "alice", &[("main.rs", "fn other() {}")], "The same file");
    assert_eq!(
        deploy(&mut github, &merging),
        (
            409,
            json!({
                "message": "Conflict merging main into topic.", "documentation_url": "https://docs.github.com/rest", "status": "409",
            })
        )
    );
    assert!(github.deployments(APP).is_empty());
    github.checks(APP, &head, None);
    checked.as_object_mut().unwrap().remove("required_contexts");
    let id = deploy(&mut github, &checked).1["id"].as_u64().unwrap();

    for bad in [
        json!({}),
        json!({ "state": "done" }),
        json!({ "state": "success", "description": "x".repeat(141) }),
        json!({ "state": "success", "environment_url": "checkout.example" }),
        json!({ "state": "success", "log_url": "javascript:1" }),
    ] {
        assert_eq!(say(&mut github, id, &bad).0, 422, "{bad}");
    }
    assert_eq!(say(&mut github, id, &json!({ "state": "success", "description": "ü".repeat(140) })).0, 201);
    assert_eq!(say(&mut github, id + 1, &json!({ "state": "success" })).0, 404);

    github.repo(APP).no_deployments();
    let (status, refused) = deploy(&mut github, &plain(&base, "x"));
    assert_eq!((status, &refused["message"]), (403, &json!("Resource not accessible by integration")));
    assert_eq!(say(&mut github, id, &json!({ "state": "success" })).0, 403);
    github.repo(APP).access(Access::None);
    assert_eq!(deploy(&mut github, &plain(&base, "x")).0, 404);
    assert_eq!((github.deployments(APP).len(), github.deployments(APP)[0].statuses.len()), (1, 1));
}

#[test]
fn deployments_are_listed_newest_first_by_commit_and_environment() {
    let mut github = github();
    let (base, head) = commits_on_top(&mut github, 1);
    let list = |github: &mut GitHub, query: &str| {
        let response = ask_with(github, &format!("GET /repos/{APP}/deployments{query}"), &HEADERS, b"");
        let ids = json_of(&response).as_array().into_iter().flatten().map(|one| one["id"].as_u64().unwrap()).collect();
        (response.status, ids)
    };
    assert_eq!(list(&mut github, ""), (200, Vec::<u64>::new()));
    let mut made = Vec::new();
    for (nth, (reference, environment)) in [(&base, "x"), (&head, "x"), (&head, "y"), (&head, "x")].iter().enumerate() {
        let mut body = plain(reference, environment);
        body["payload"] = json!({ "nth": nth });
        made.push(deploy(&mut github, &body).1["id"].as_u64().unwrap());
    }
    let [a, b, c, d] = made.try_into().unwrap();
    assert_eq!(list(&mut github, ""), (200, vec![d, c, b, a]));
    assert_eq!(list(&mut github, &format!("?sha={head}&environment=x")), (200, vec![d, b]));
    assert_eq!(list(&mut github, "?sha=topic"), (200, vec![]), "a commit, not a branch");
    assert_eq!(list(&mut github, "?per_page=3&page=2"), (200, vec![a]));
    let response = ask_with(&mut github, &format!("GET /repos/{APP}/deployments?environment=y"), &HEADERS, b"");
    assert_eq!(json_of(&response)[0]["payload"], json!({ "nth": 2 }), "as it was given");
    assert_eq!(github.calls("github.deployments"), 6);
    github.repo(APP).no_deployments();
    assert_eq!(list(&mut github, "").0, 403);
    github.repo(APP).access(Access::None);
    assert_eq!(list(&mut github, "").0, 404);
}

#[test]
fn deployments_count_as_content_that_is_made() {
    let mut github = github();
    let (base, _) = commits_on_top(&mut github, 1);
    github.writes_per_minute = 1;
    let id = deploy(&mut github, &plain(&base, "x")).1["id"].as_u64().unwrap();
    assert_eq!(say(&mut github, id, &json!({ "state": "success" })).0, 403);
    let head = github.head(GITOPS, "main").unwrap();
    assert_eq!(post(&mut github, COMMIT, commit_input(&head, "x")).status, 403);
}

#[test]
fn the_checks_of_one_commit_can_be_read_without_its_branch() {
    let mut github = github();
    let (_, head) = commits_on_top(&mut github, 1);
    github.delete_branch(APP, "topic", "bob");
    let read = |github: &mut GitHub, oid: &str| {
        let query = "query($oid: GitObjectID!) { repository(owner: \"acme\", name: \"checkout\") {
            object(oid: $oid) { ... on Commit { oid statusCheckRollup { state } } } } }";
        ask(github, query, json!({ "oid": oid }))
    };
    let rollup = |answer: &Value| answer["data"]["repository"]["object"]["statusCheckRollup"].clone();
    for checks in [Checks::Error, Checks::Expected, Checks::Failure, Checks::Pending, Checks::Success] {
        github.checks(APP, &head, Some(checks));
        assert_eq!(rollup(&read(&mut github, &head)), json!({ "state": checks.name() }));
    }
    github.checks(APP, &head, None);
    let answer = read(&mut github, &head);
    assert_eq!((rollup(&answer), answer["data"]["repository"]["object"]["oid"].clone()), (Value::Null, json!(head)));
    assert_eq!(read(&mut github, &"1".repeat(40))["data"]["repository"], json!({ "object": null }));

    github.repo(APP).hide_checks();
    let answer = read(&mut github, &head);
    assert_eq!((rollup(&answer), &answer["errors"][0]["type"]), (Value::Null, &json!("FORBIDDEN")));
}

#[test]
fn the_checks_of_a_commit_are_listed_a_hundred_at_a_time() {
    let mut github = github();
    let (_, head) = commits_on_top(&mut github, 1);
    let read = |github: &mut GitHub, first: usize| {
        let query = format!(
            "query($oid: GitObjectID!) {{ repository(owner: \"acme\", name: \"checkout\") {{ object(oid: $oid) {{ ... on Commit {{
            statusCheckRollup {{ state contexts(first: {first}) {{ pageInfo {{ hasNextPage }} nodes {{
            ... on CheckRun {{ name status conclusion startedAt }} ... on StatusContext {{ context state createdAt }} }} }} }} }} }} }} }}"
        );
        let answer = ask(github, &query, json!({ "oid": head }));
        (answer["data"]["repository"]["object"]["statusCheckRollup"].clone(), answer["errors"].clone())
    };
    let at = 1_787_301_763_000;
    github.check(APP, &head, Check::ended("build", "FAILURE", at));
    github.check(APP, &head, Check::Run { name: "build".to_owned(), conclusion: None, started: None });
    github.check(APP, &head, Check::Status { context: "ci/lint".to_owned(), state: Checks::Success, created: at });
    let time = "2026-08-21T08:42:43Z";
    let nodes = json!([
        { "name": "build", "status": "COMPLETED", "conclusion": "FAILURE", "startedAt": time },
        { "name": "build", "status": "QUEUED", "conclusion": null, "startedAt": null },
        { "context": "ci/lint", "state": "SUCCESS", "createdAt": time },
    ]);
    let contexts = json!({ "pageInfo": { "hasNextPage": false }, "nodes": nodes });
    assert_eq!(read(&mut github, 100), (json!({ "state": "FAILURE", "contexts": contexts }), Value::Null));
    assert_eq!(read(&mut github, 101).1[0]["type"], "EXCESSIVE_PAGINATION");
    assert_eq!(read(&mut github, 2).0["contexts"]["pageInfo"]["hasNextPage"], true);
    for n in 0..98 {
        github.check(APP, &head, Check::ended(&format!("job {n}"), "SUCCESS", at));
    }
    let (rollup, _) = read(&mut github, 100);
    assert_eq!(rollup["contexts"]["pageInfo"]["hasNextPage"], true);
    github.repo(APP).hide_check_runs();
    let (rollup, errors) = read(&mut github, 100);
    let nodes = &rollup["contexts"]["nodes"];
    assert_eq!((&nodes[0], &nodes[2]["context"]), (&Value::Null, &json!("ci/lint")));
    assert_eq!(errors[0]["type"], "FORBIDDEN");
}

// ---- Webhooks ----

#[test]
fn the_signature_is_the_published_one() {
    let headers = webhook_headers("It's a Secret to Everybody", "push", "1", b"Hello, World!");
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(header(&headers, "x-hub-signature-256"), expected);
    assert_eq!(header(&headers, "x-hub-signature").len(), "sha1=".len() + 40);
    assert!(header(&headers, "user-agent").starts_with("GitHub-Hookshot/"));
}

#[test]
fn a_commit_of_ours_is_a_push_of_one_commit() {
    let mut github = github();
    let head = github.head(GITOPS, "main").unwrap();
    commit(&mut github, &head, "image:\n  tag: \"main-1234567\"\n");
    let sent = github.take_outgoing();
    assert_eq!(sent.len(), 1);
    assert!(github.take_outgoing().is_empty());
    assert_eq!((sent[0].at, sent[0].path.as_str()), (NOW, "/github/webhook"));
    let guid = header(&sent[0].headers, "x-github-delivery");
    let expected = webhook_headers(SECRET, "push", guid, &sent[0].body);
    assert_eq!(sent[0].headers, expected, "signed over these bytes");

    let mut payload: Value = serde_json::from_slice(&sent[0].body).unwrap();
    let after = github.head(GITOPS, "main").unwrap();
    assert_eq!((&payload["before"], &payload["after"]), (&json!(head), &json!(after)));
    assert_eq!(payload["head_commit"], payload["commits"][0]);
    assert!(payload["repository"]["pushed_at"].is_u64() && payload["repository"]["created_at"].is_u64());
    for volatile in ["repository", "head_commit", "before", "after", "compare", "organization"] {
        payload.as_object_mut().unwrap().remove(volatile);
    }
    for volatile in ["id", "tree_id", "url"] {
        payload["commits"][0].as_object_mut().unwrap().remove(volatile);
    }
    insta::assert_snapshot!(lines(&payload), @r#"
    base_ref: null
    commits[0].author.email: "79367555+deploy-bot[bot]@users.noreply.github.com"
    commits[0].author.name: "deploy-bot[bot]"
    commits[0].author.username: "deploy-bot[bot]"
    commits[0].committer.email: "noreply@github.com"
    commits[0].committer.name: "GitHub"
    commits[0].committer.username: "web-flow"
    commits[0].distinct: true
    commits[0].message: "Deploy checkout\n\nDeploy-Id: 1"
    commits[0].modified[0]: "checkout/values.yaml"
    commits[0].timestamp: "2027-01-15T08:00:00Z"
    created: false
    deleted: false
    forced: false
    pusher.email: "79367555+deploy-bot[bot]@users.noreply.github.com"
    pusher.name: "deploy-bot[bot]"
    ref: "refs/heads/main"
    sender.avatar_url: "https://github.com/deploy-bot[bot].png"
    sender.gravatar_id: ""
    sender.html_url: "https://github.com/apps/deploy-bot"
    sender.id: 79367555
    sender.login: "deploy-bot[bot]"
    sender.node_id: "U_kgDOBLsNgw"
    sender.repos_url: "https://api.github.com/users/deploy-bot%5Bbot%5D/repos"
    sender.site_admin: false
    sender.type: "Bot"
    sender.url: "https://api.github.com/users/deploy-bot%5Bbot%5D"
    sender.user_view_type: "public"
    "#);
}

#[test]
fn people_push_in_many_ways() {
    let mut github = github();
    let first = github.head(GITOPS, "main").unwrap();
    let stranger = Person { name: "Alice".to_owned(), email: "alice@example.com".to_owned() };
    let two = [
        NewCommit { author: Some(stranger), ..NewCommit::new("one", &[("a", "1")]) },
        NewCommit::new("two", &[("a", "2"), ("b", "1")]),
    ];
    let second = github.push(GITOPS, "main", "alice", &two);
    let forced = github.force_push(
        GITOPS,
        "main",
        "mallory",
        &first,
        &[NewCommit { on_the_web: true, ..NewCommit::new("evil", &[("a", "3")]) }],
    );
    github.person_pushes(GITOPS, "topic", "alice", &[("t", "1")], "topic");
    github.delete_branch(GITOPS, "topic", "alice");
    let payloads: Vec<_> = github.deliveries().iter().map(Delivery::json).collect();
    let shape = |payload: &Value| {
        let messages: Vec<_> =
            payload["commits"].as_array().unwrap().iter().map(|commit| commit["message"].as_str().unwrap()).collect();
        let flags: Vec<_> =
            ["created", "deleted", "forced"].into_iter().filter(|flag| payload[*flag] == true).collect();
        format!(
            "{} by {}: {} [{}]",
            payload["ref"].as_str().unwrap(),
            payload["sender"]["login"].as_str().unwrap(),
            messages.join(", "),
            flags.join(" ")
        )
    };
    insta::assert_snapshot!(payloads.iter().map(shape).collect::<Vec<_>>().join("\n"), @r#"
    refs/heads/main by alice: one, two []
    refs/heads/main by mallory: evil [forced]
    refs/heads/topic by alice: topic [created]
    refs/heads/topic by alice:  [deleted]
    "#);
    assert_eq!(payloads[0]["commits"][0]["author"].get("username"), None, "an email without an account");
    assert_eq!(payloads[0]["commits"][1]["added"], json!(["b"]));
    assert_eq!((&payloads[1]["before"], &payloads[1]["after"]), (&json!(second), &json!(forced)));
    assert_eq!(payloads[1]["commits"][0]["committer"]["username"], "web-flow");
    assert_eq!(payloads[2]["before"], "0".repeat(40));
    assert_eq!((&payloads[3]["head_commit"], &payloads[3]["after"]), (&Value::Null, &json!("0".repeat(40))));
    assert!(github.commits(GITOPS, "main")[0].signed_by_github);
}

#[test]
fn deliveries_are_delayed_doubled_lost_and_repeated() {
    let mut github = github();
    github.tick(NOW);
    github.webhook(GITOPS).delay = std::time::Duration::from_millis(700);
    github.webhook(GITOPS).duplicates = 1;
    github.person_pushes(GITOPS, "main", "alice", &[("a", "1")], "one");
    let sent = github.take_outgoing();
    assert_eq!(sent.iter().map(|outgoing| outgoing.at).collect::<Vec<_>>(), [NOW + 700, NOW + 700]);
    assert_eq!(sent[0].headers, sent[1].headers);

    github.webhook(GITOPS).lost = 1;
    github.person_pushes(GITOPS, "main", "alice", &[("a", "2")], "two");
    assert!(github.take_outgoing().is_empty());
    let lost = github.deliveries()[1].guid.clone();
    github.redeliver(&lost);
    let again = github.take_outgoing();
    assert_eq!((again.len(), header(&again[0].headers, "x-github-delivery")), (1, lost.as_str()));
    assert_ne!(github.deliveries()[0].guid, lost);

    github.ping(GITOPS);
    assert_eq!(header(&github.deliveries()[2].headers, "x-github-event"), "ping");
    github.repo("acme/quiet").file("a", "b");
    github.person_pushes("acme/quiet", "main", "alice", &[("a", "c")], "no webhook");
    assert_eq!(github.deliveries().len(), 3);
}

#[test]
fn a_merge_touches_only_what_no_parent_has() {
    let mut github = github();
    let topic = github.person_pushes(GITOPS, "topic", "bob", &[("checkout/values.yaml", "tag: 2\n")], "topic");
    github.person_pushes(GITOPS, "main", "alice", &[("other", "1")], "other");
    let mut merge = NewCommit::new("Merge topic", &[("checkout/values.yaml", "tag: 2\n")]);
    merge.merges = Some(topic);
    github.push(GITOPS, "main", "alice", &[merge]);
    let history = data(
        &mut github,
        "{ repository(owner: \"acme\", name: \"gitops\") { object(expression: \"main\") { ... on Commit {
             parents(first: 5) { totalCount }
             history(first: 9, path: \"checkout\") { nodes { message } } } } } }",
    );
    insta::assert_snapshot!(lines(&history["repository"]["object"]), @r#"
    history.nodes[0].message: "topic"
    history.nodes[1].message: "Write checkout/values.yaml"
    parents.totalCount: 2
    "#);
}

#[test]
fn a_merged_pull_request_is_found_from_its_commits_and_from_its_merge() {
    let ask = |squash: bool| {
        let mut github = GitHub::new("ghp_secret", "acme-bot");
        github.repo("acme/checkout").file("a", "1").pull_request(PullRequest::new(1, "topic"));
        let topic = github.pull_request("acme/checkout", 1).head_oid.clone();
        let query = |sha: &str| {
            format!(
                "{{ repository(owner: \"acme\", name: \"checkout\") {{ object(oid: \"{sha}\") {{ ... on Commit {{
                     file(path: \"work.txt\") {{ name }}
                     associatedPullRequests(first: 1) {{ nodes {{ number state mergeCommit {{ oid }} }} }} }} }} }} }}"
            )
        };
        let found = |github: &mut GitHub, sha: &str| {
            data(github, &query(sha))["repository"]["object"]["associatedPullRequests"]["nodes"][0].clone()
        };
        let open = json!({ "number": 1, "state": "OPEN", "mergeCommit": null });
        assert_eq!(found(&mut github, &topic), open);
        let merge = github.merge("acme/checkout", 1, "alice", squash);
        let merged = json!({ "number": 1, "state": "MERGED", "mergeCommit": { "oid": merge } });
        assert_eq!((found(&mut github, &topic), found(&mut github, &merge)), (merged.clone(), merged));
        assert_eq!(data(&mut github, &query(&merge))["repository"]["object"]["file"], json!({ "name": "work.txt" }));
        let initial = github.commit("acme/checkout", &merge).unwrap().parents[0].clone();
        assert_eq!(found(&mut github, &initial), Value::Null);
    };
    ask(true);
    ask(false);
}
