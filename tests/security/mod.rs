//! Who gets in, and what they may do: each attempt that must be refused, on every door, beside those that must not.

mod attempts;
mod doors;
mod kafka;
mod policies;
mod sign_in;
mod tls;

use weir_tests::client::Client;
use weir_tests::{Server, ServerBuilder, wait};

/// The password of each user of these tests.
const PASSWORD: &str = "correct horse battery";

/// A server where people sign in.
fn closed() -> ServerBuilder {
    Server::builder().arg("--auth")
}

/// Makes a user with roles, and gives a client of it.
async fn user(server: &Server, name: &str, roles: &[&str]) -> Client {
    let admin = server.admin();
    admin
        .run(&[&format!("CREATE USER {name} PASSWORD '{PASSWORD}'")])
        .await;
    for role in roles {
        admin.run(&[&format!("GRANT {role} TO {name}")]).await;
    }
    server.client().with_password(name, PASSWORD)
}

/// The value of a new token of a user.
async fn token(admin: &Client, rest: &str) -> String {
    let made = admin.rows(&format!("CREATE TOKEN {rest}")).await;
    made.rows[0][2].as_str().expect("it is text").to_owned()
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    wait::eventually(what, async || match is_so().await {
        true => Ok(()),
        false => Err("not yet"),
    })
    .await;
}

/// The SQLSTATE of what a statement is refused with; `-` of one that is not.
async fn state(client: &Client, sql: &str) -> String {
    match client.sql(sql).await {
        Ok(_) => "-".to_owned(),
        Err(problem) => problem.sqlstate().to_owned(),
    }
}
