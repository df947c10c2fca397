//! Getting in: by password, by token, and not.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::Server;
use weir_tests::client::{Problem, media};

use super::{PASSWORD, closed, state, token, until, user};

/// Every resource, and what it answers to who shows nothing.
const RESOURCES: [(Method, &str, u16); 18] = [
    (Method::GET, "/", 200),
    (Method::GET, "/livez", 200),
    (Method::GET, "/readyz", 200),
    (Method::GET, "/openapi.json", 200),
    (Method::GET, "/metrics", 401),
    (Method::POST, "/v1/sql", 401),
    (Method::GET, "/v1/sql?q=SELECT%201", 401),
    (Method::GET, "/v1/live", 401),
    (Method::POST, "/v1/sessions", 401),
    (Method::DELETE, "/v1/sessions/x", 401),
    (Method::POST, "/v1/statements", 401),
    (Method::GET, "/v1/statements/x", 401),
    (Method::POST, "/v1/topics/x/records", 401),
    (Method::GET, "/v1/queries", 401),
    (Method::DELETE, "/v1/queries/x", 401),
    (Method::GET, "/subjects", 401),
    (Method::PUT, "/config", 401),
    (Method::GET, "/no/such/resource", 401),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_to_who_shows_nothing() {
    let server = closed().start();
    let client = server.client();
    for (method, path, status) in RESOURCES {
        let response = client.send(client.request(method.clone(), path)).await;
        assert_eq!(response.status(), status, "{method} {path}");
        let challenge = response.headers().get("www-authenticate").cloned();
        assert_eq!(challenge.is_some(), status == 401, "{method} {path}");
    }
    let page = client
        .request(Method::GET, "/v1/queries")
        .header("sec-fetch-mode", "cors");
    let response = client.send(page).await;
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer realm=\"weir\"",
        "a page shows its own form"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_an_administrator_and_no_other_does() {
    let server = closed().start();
    let token = server.token();
    let admin = server.admin();
    assert_eq!(admin.value("SELECT 1").await, json!(1));
    let log = server.log().join("\n");
    assert!(!log.contains(&token), "the log does not know it");
    let server = server.stop().start();
    let admin = server.client().with_token(&token);
    assert_eq!(admin.value("SELECT 1").await, json!(1));
    assert!(!server.output().iter().any(|line| line.starts_with("token")));
    let data = std::fs::read_dir(server.folder().join("data/catalog")).unwrap();
    for file in data {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(!found, "{path:?} holds the token");
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_revoked_and_expired_credentials_are_refused() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &["reader"]).await;
    assert_eq!(ada.value("SELECT 1").await, json!(1));
    let anyone = server.client();
    let in_time = token(&admin, "here FOR ada EXPIRES INTERVAL '1 hour'").await;
    let short = token(&admin, "short FOR ada EXPIRES INTERVAL '1 second'").await;
    let by_token = anyone.clone().with_token(&in_time);
    assert_eq!(by_token.value("SELECT 1").await, json!(1));
    let as_password = anyone.clone().with_password("ada", &in_time);
    assert_eq!(as_password.value("SELECT 1").await, json!(1));

    for (what, client) in [
        (
            "a wrong password",
            anyone.clone().with_password("ada", "wrong"),
        ),
        (
            "no such user",
            anyone.clone().with_password("eve", PASSWORD),
        ),
        ("a role", anyone.clone().with_password("reader", PASSWORD)),
        (
            "a user without a password",
            anyone.clone().with_password("weir", ""),
        ),
        (
            "another's token",
            anyone.clone().with_password("weir", &in_time),
        ),
        ("a made-up token", anyone.clone().with_token("weir_AAAA")),
        ("no token", anyone.clone().with_token("")),
        (
            "no scheme",
            anyone.clone().with_authorization(in_time.as_str()),
        ),
        (
            "another scheme",
            anyone.clone().with_authorization("Digest x"),
        ),
    ] {
        let problem = client.sql("SELECT 1").await.expect_err(what);
        assert_eq!(problem.status, 401, "{what}: {problem}");
    }
    let (wrong, missing) = (
        anyone
            .clone()
            .with_password("ada", "wrong")
            .sql("SELECT 1")
            .await,
        anyone
            .clone()
            .with_password("eve", "wrong")
            .sql("SELECT 1")
            .await,
    );
    let said = |answer: Result<_, Problem>| answer.unwrap_err().detail();
    assert_eq!(
        said(wrong).replace("ada", "…"),
        said(missing).replace("eve", "…"),
        "who is there is not told"
    );

    let expired = anyone.clone().with_token(&short);
    until("the token expires", async || {
        expired.sql("SELECT 1").await.is_err()
    })
    .await;
    admin.run(&["REVOKE TOKEN here FOR ada"]).await;
    assert_eq!(by_token.sql("SELECT 1").await.unwrap_err().status, 401);
    admin.run(&["ALTER USER ada NOLOGIN"]).await;
    assert_eq!(ada.sql("SELECT 1").await.unwrap_err().status, 401);
    admin
        .run(&["ALTER USER ada LOGIN PASSWORD 'another password'"])
        .await;
    assert_eq!(ada.sql("SELECT 1").await.unwrap_err().status, 401);
    let ada = anyone.with_password("ada", "another password");
    assert_eq!(ada.value("SELECT 1").await, json!(1));
    admin
        .run(&["ALTER USER ada VALID UNTIL '2020-01-01'"])
        .await;
    assert_eq!(ada.sql("SELECT 1").await.unwrap_err().status, 401);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_waits() {
    let server = closed().start();
    user(&server, "ada", &["reader"]).await;
    user(&server, "bob", &["reader"]).await;
    let guess = server.client().with_password("ada", "a guess");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(guess.sql("SELECT 1").await.unwrap_err().status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let right = server.client().with_password("ada", PASSWORD);
    let problem = right.sql("SELECT 1").await.unwrap_err();
    assert_eq!(problem.status, 429, "the right password waits as well");
    assert!(problem.retry_after.is_some());
    let bob = server.client().with_password("bob", PASSWORD);
    assert_eq!(bob.value("SELECT 1").await, json!(1), "nobody else waits");
    until("the wait is over", async || {
        right.sql("SELECT 1").await.is_ok()
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_statements_are_their_users_own() {
    let server = closed().start();
    let (ada, bob) = (
        user(&server, "ada", &["reader"]).await,
        user(&server, "bob", &["reader"]).await,
    );
    let session = ada.open_session().await;
    let id = session.session().unwrap().to_owned();
    let by_bob = bob.query_body(&json!({"query": "SELECT 1", "session": id}), media::JSON);
    assert_eq!(bob.send(by_bob).await.status(), 404);
    let close = bob.request(Method::DELETE, &format!("/v1/sessions/{id}"));
    assert_eq!(bob.send(close).await.status(), 404);
    assert_eq!(session.value("SELECT 1").await, json!(1));

    let submitted = ada
        .document_of(
            ada.request(Method::POST, "/v1/statements")
                .json(&json!({"query": "SELECT 42"})),
        )
        .await
        .unwrap();
    let id = submitted["id"].as_str().unwrap();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::GET, "/rows"),
        (Method::DELETE, ""),
    ] {
        let path = format!("/v1/statements/{id}{rest}");
        let request = bob.request(method.clone(), &path);
        assert_eq!(bob.send(request).await.status(), 404, "{method} {path}");
    }
    let own = ada.request(Method::GET, &format!("/v1/statements/{id}?wait_ms=60000"));
    assert_eq!(ada.send(own).await.status(), 200);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown() {
    let server = closed().start();
    let admin = server.admin();
    admin
        .run(&[
            "CREATE USER ada PASSWORD 'hidden secret 1'",
            "ALTER USER ada PASSWORD 'hidden secret 2'",
        ])
        .await;
    assert!(
        admin
            .sql("CREATE USER bob PASSWORD 'hidden secret 3' AND MORE")
            .await
            .is_err()
    );
    assert!(
        admin
            .sql("CREATE USER ada PASSWORD 'hidden secret 4'")
            .await
            .is_err()
    );
    let mut shown = String::new();
    for sql in ["SHOW QUERIES", "SELECT * FROM weir.queries"] {
        shown.push_str(&format!("{:?}", admin.rows(sql).await));
    }
    let queries = admin.request(Method::GET, "/v1/queries");
    shown.push_str(&admin.document_of(queries).await.unwrap().to_string());
    shown.push_str(&server.log().join("\n"));
    let audit = server.folder().join("data/audit/audit.log");
    until("the statement is in the audit log", async || {
        std::fs::read_to_string(&audit).is_ok_and(|text| text.contains("ALTER USER ada"))
    })
    .await;
    shown.push_str(&std::fs::read_to_string(&audit).unwrap());
    assert!(!shown.contains("hidden secret"), "{shown}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_did_what() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY)",
            "GRANT SELECT ON t TO ada",
        ])
        .await;
    assert!(ada.sql("DELETE FROM t").await.is_err());
    assert!(
        server
            .client()
            .with_password("ada", "wrong")
            .sql("SELECT 1")
            .await
            .is_err()
    );
    let audit = server.folder().join("data/audit/audit.log");
    let events = || -> Vec<Value> {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    let found = |event: &str, user: &str, part: &str| {
        events().iter().any(|line| {
            line["event"] == event && line["user"] == user && line.to_string().contains(part)
        })
    };
    for (event, user, part) in [
        ("signed_in", "weir", "\"by_token\":true"),
        ("signed_in", "ada", "127.0.0.1"),
        ("changed", "weir", "CREATE TABLE t"),
        ("changed", "weir", "GRANT SELECT ON t"),
        ("denied", "ada", "DELETE FROM t"),
        ("sign_in_failed", "ada", "127.0.0.1"),
    ] {
        until(event, async || found(event, user, part)).await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_everybody_on_the_machine_is_the_operator() {
    let server = Server::start();
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY)",
            "CREATE USER ada PASSWORD 'a good password'",
            "GRANT SELECT ON t TO ada",
        ])
        .await;
    assert_eq!(
        state(&client, "CREATE TOKEN t").await,
        "22023",
        "nobody signed in"
    );
    let builder = server.stop();
    // What was granted holds once people sign in.
    let server = builder.arg("--auth").start();
    let ada = server.client().with_password("ada", "a good password");
    assert_eq!(ada.number("SELECT count(*) FROM t").await, 0);
    assert_eq!(state(&ada, "DELETE FROM t").await, "42501");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_query_ends_when_its_right_does() {
    let server = closed().start();
    let admin = server.admin();
    let ada = user(&server, "ada", &[]).await;
    admin
        .run(&[
            "CREATE STREAM s (x BIGINT)",
            "INSERT INTO s VALUES (1)",
            "GRANT SELECT ON s TO ada",
        ])
        .await;
    let live = "SELECT * FROM s EMIT CHANGES";
    let expiring = token(&admin, "t FOR ada EXPIRES INTERVAL '3 seconds'").await;
    let by_token = server.client().with_token(&expiring);
    let ended = tokio::spawn(async move {
        by_token
            .send(by_token.query(live, media::NDJSON))
            .await
            .text()
            .await
    });
    let open = ada.send(ada.query(live, media::NDJSON)).await;
    assert_eq!(open.status(), 200);
    admin.run(&["REVOKE SELECT ON s FROM ada"]).await;
    for body in [open.text().await, ended.await.unwrap()] {
        let last = body.unwrap_or_default();
        assert!(last.contains("\"sqlstate\":\"42501\""), "{last}");
    }
    assert_eq!(state(&ada, live).await, "42P01", "it is not there any more");
    server.stop();
}

/// A page may not call from elsewhere, whatever it knows.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_are_refused_before_they_sign_in() {
    let server = closed().start();
    let admin = server.admin();
    for (header, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        let request = admin.query("SELECT 1", media::JSON).header(header, value);
        assert_eq!(admin.send(request).await.status(), 403, "{header}");
    }
    let response = admin.send(admin.request(Method::GET, "/")).await;
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") || policy.contains("default-src 'self'"),
        "{policy}"
    );
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    server.stop();
}

/// Guesses that come at once are counted one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_guesses_is_no_way_around_the_wait() {
    let server = closed().start();
    user(&server, "ada", &["reader"]).await;
    let guesses = (0..60).map(|number| {
        let guess = server
            .client()
            .with_password("ada", &format!("guess {number}"));
        tokio::spawn(async move { guess.sql("SELECT 1").await.unwrap_err().status })
    });
    let guesses: Vec<_> = guesses.collect();
    let mut tried = 0;
    for guess in guesses {
        tried += usize::from(guess.await.unwrap() == 401);
    }
    // Six are free, and one may be on its way beside each that is counted.
    assert!(tried <= 8, "{tried} guesses were tried");
    server.stop();
}

/// What others at one's address get wrong does not keep out who has a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_does_not_wait() {
    let server = closed().start();
    let wrong = server.client().with_token("weir_wrong");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(wrong.sql("SELECT 1").await.unwrap_err().status);
    }
    assert!(
        statuses.contains(&429),
        "who guesses is told to wait: {statuses:?}"
    );
    assert_eq!(server.admin().value("SELECT 1").await, json!(1));
    server.stop();
}

/// By a token that ends nobody gets a way in that does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_outlive_itself() {
    let server = closed().start();
    let admin = server.admin();
    user(&server, "ada", &["reader"]).await;
    let short = token(&admin, "short FOR ada EXPIRES INTERVAL '1 hour'").await;
    let ada = server.client().with_token(&short);
    for sql in [
        "CREATE TOKEN longer",
        "CREATE TOKEN longer FOR ada",
        "ALTER USER ada PASSWORD 'another password'",
    ] {
        assert_eq!(state(&ada, sql).await, "42501", "{sql}");
    }
    server.stop();
}

/// Who has thrown the last key away gets another at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn no_server_is_locked_for_ever() {
    let server = closed().start();
    let admin = server.admin();
    let name = admin.value("SELECT name FROM weir.tokens").await;
    let name = name.as_str().unwrap().to_owned();
    admin.run(&[&format!("DROP TOKEN \"{name}\"")]).await;
    assert_eq!(admin.sql("SELECT 1").await.unwrap_err().status, 401);
    let server = server.stop().start();
    assert_eq!(server.admin().value("SELECT 1").await, json!(1));
    server.stop();
}
