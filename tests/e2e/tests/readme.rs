//! The page about the tests, `tests/README.md`, is up to date.

use e2e::readme;
use std::fs;

#[test]
fn the_page_about_the_tests_is_up_to_date() {
    let page = readme::page().expect("the page can be made");
    if std::env::var_os("UPDATE_README").is_some_and(|wanted| wanted == "1") {
        fs::write(readme::path(), &page).expect("the page can be written");
    }
    let there = fs::read_to_string(readme::path()).unwrap_or_default();
    if there != page {
        let differs = there.lines().zip(page.lines()).find(|(there, page)| there != page);
        panic!(
            "tests/README.md is not what the tests are. `UPDATE_README=1 cargo test -p e2e --test e2e readme` writes it anew. {differs:#?}"
        );
    }
}
