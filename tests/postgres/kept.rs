//! Statements that come again and again, whose plans are kept: they answer as if nothing were kept.

use weir_tests::{Server, python};

#[test]
fn plans_that_are_kept_answer_as_plans_made_anew() {
    let server = Server::builder().postgres().start();
    let said = python::run("postgres_kept.py", &[&server.postgres()]);
    assert!(said.contains("kept plans hold"), "{said}");
    server.stop();
}
