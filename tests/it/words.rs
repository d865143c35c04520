//! What the tests call things: the names of answers, by which a revision is told from another. No checks here.

use std::time::Duration;

use lath_tests::{Answer, Ledger, eventually};

/// Which revision of `App::hello` answered: version and greeting.
pub(crate) fn hello(answer: &Answer) -> String {
    format!("{} {}", answer.text("version"), answer.text("greeting"))
}

/// Which revision of `App::greeting` answered: version of the front, version and text of the greeter.
pub(crate) fn greeting(answer: &Answer) -> String {
    format!("{} > {} {}", answer.text("version"), answer.text("greeter"), answer.text("text"))
}

/// Waits until so many more requests have ended than now.
pub(crate) async fn more(ledger: &Ledger, requests: usize) {
    let wanted = ledger.ended() + requests;
    eventually(Duration::from_secs(60), "more requests to be sent", async || {
        let sent = ledger.ended();
        if sent >= wanted { Ok(()) } else { Err(format!("{sent} of {wanted}")) }
    })
    .await;
}
