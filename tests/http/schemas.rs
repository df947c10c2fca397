//! The schema registry: what a client sees that speaks its REST form by hand.

use serde_json::{Value, json};
use weir_tests::client::Method;
use weir_tests::{Client, Server};

const REGISTRY: &str = "application/vnd.schemaregistry.v1+json";

/// Status, media type and document of an answer.
async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, String, Value) {
    let mut request = client.request(method, path);
    if let Some(body) = body {
        request = request
            .header("content-type", REGISTRY)
            .body(body.to_string());
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let media = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = answer.text().await.expect("a body");
    let document = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, media, document)
}

#[tokio::test]
async fn failures_have_the_form_that_registry_clients_read() {
    let server = Server::start();
    let client = server.client();
    let schema = |text: &str| Some(json!({ "schema": text }));
    let register = "/subjects/a/versions";
    for (method, path, body, status, code, piece) in [
        (
            Method::GET,
            "/subjects/none/versions",
            None,
            404,
            40401,
            "Subject 'none' not found.",
        ),
        (
            Method::GET,
            "/schemas/ids/7",
            None,
            404,
            40403,
            "Schema 7 not found",
        ),
        (
            Method::GET,
            "/schemas/ids/x",
            None,
            404,
            40403,
            "Schema x not found",
        ),
        (
            Method::GET,
            "/subjects/a/versions/0",
            None,
            422,
            42202,
            "not a valid version id",
        ),
        (
            Method::POST,
            register,
            schema("{\"type\": 1}"),
            422,
            42201,
            "at /type: 1 is no type",
        ),
        (
            Method::POST,
            register,
            Some(json!({"schema": "", "schemaType": "XML"})),
            422,
            42201,
            "choose one of AVRO",
        ),
        (
            Method::POST,
            register,
            Some(json!({"schema": "\"int\"", "ruleSet": {"x": 1}})),
            422,
            422,
            "\"ruleSet\" is not supported",
        ),
        (
            Method::POST,
            register,
            Some(json!({"schema": "\"int\"", "id": 9})),
            422,
            42205,
            "not in import mode",
        ),
        (
            Method::POST,
            register,
            Some(json!([])),
            400,
            400,
            "the body is not what is expected here",
        ),
        (
            Method::POST,
            "/subjects/a/versions?normalise=true",
            schema("\"int\""),
            400,
            400,
            "did you mean \"normalize\"?",
        ),
        (
            Method::PUT,
            "/config",
            Some(json!({"compatibility": "x"})),
            422,
            42203,
            "choose one of NONE",
        ),
        (
            Method::PUT,
            "/mode/a",
            Some(json!({"mode": "x"})),
            422,
            42204,
            "choose one of READWRITE",
        ),
        (
            Method::GET,
            "/config/a",
            None,
            404,
            40408,
            "does not have subject-level compatibility",
        ),
        (
            Method::DELETE,
            "/subjects/none",
            None,
            404,
            40401,
            "Subject 'none' not found.",
        ),
    ] {
        let (found, media, document) = ask(&client, method.clone(), path, body).await;
        assert_eq!(
            (found, media.as_str()),
            (status, REGISTRY),
            "{method} {path}: {document}"
        );
        assert_eq!(document["error_code"], code, "{method} {path}: {document}");
        let message = document["message"].as_str().expect("a message");
        assert!(message.contains(piece), "{method} {path}: {message}");
    }
    let plain = client
        .request(Method::POST, register)
        .header("content-type", "text/csv");
    let plain = plain.body("a").send().await.unwrap();
    assert_eq!(plain.status(), 415);
    server.stop();
}

#[tokio::test]
async fn a_plain_json_client_is_answered_in_plain_json() {
    let server = Server::start();
    let client = server.client();
    let (status, media, document) = ask(
        &client,
        Method::POST,
        "/subjects/a%2Fb/versions?normalize=True",
        Some(json!({"schema": "syntax = \"proto3\"; message A { int32 a = 1; }", "schemaType": "PROTOBUF"})),
    )
    .await;
    assert_eq!((status, media.as_str()), (200, REGISTRY), "{document}");
    assert_eq!(
        (&document["id"], &document["version"]),
        (&json!(1), &json!(1))
    );
    let answer = client
        .request(Method::GET, "/subjects/a%2Fb/versions/latest")
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let found: Value = answer.json().await.unwrap();
    assert_eq!(found["subject"], "a/b");
    assert_eq!(found["schemaType"], "PROTOBUF");
    let (_, _, text) = ask(&client, Method::GET, "/schemas/ids/1/schema", None).await;
    assert_eq!(text, found["schema"]);
    let (_, _, serialized) = ask(
        &client,
        Method::GET,
        "/schemas/ids/1?format=serialized&fetchMaxId=true",
        None,
    )
    .await;
    assert_eq!(serialized["maxId"], 1);
    assert_ne!(serialized["schema"], found["schema"]);
    let (_, _, subjects) = ask(&client, Method::GET, "/subjects?offset=0&limit=-1", None).await;
    assert_eq!(subjects, json!(["a/b"]));
    let check = "/compatibility/subjects/a%2Fb/versions/latest?verbose=true";
    let changed = json!({"schema": "syntax = \"proto3\"; message A { string a = 1; }", "schemaType": "PROTOBUF"});
    let (_, _, checked) = ask(&client, Method::POST, check, Some(changed)).await;
    assert_eq!(checked["is_compatible"], false);
    let messages = checked["messages"].to_string();
    assert!(messages.contains("FIELD_SCALAR_KIND_CHANGED"), "{messages}");
    server.stop();
}
