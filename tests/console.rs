//! The console: its code's own tests, what is committed of it, and each part of it in a real browser over the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use weir_tests::{Server, binary, foreign, python};

fn web() -> PathBuf {
    binary::workspace().join("web")
}

/// Runs a tool of the console's own in `web/`.
fn tool(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("node");
    command
        .arg(web().join("node_modules/.bin").join(name))
        .args(arguments)
        .current_dir(web());
    python::output(command, name)
}

/// All files below a folder, with their content, by their paths in it.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it is below the folder");
            let content = std::fs::read(&path).expect("the file can be read");
            found.push((name.display().to_string(), content));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_committed_is_what_the_source_makes() {
    tool("tsc", &["--noEmit"]);
    let built = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = built.path().display().to_string();
    tool(
        "vite",
        &[
            "build",
            "--outDir",
            &folder,
            "--emptyOutDir",
            "--logLevel",
            "warn",
        ],
    );
    let (made, committed) = (files(built.path()), files(&web().join("dist")));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&made), names(&committed), "run `make web`");
    // Another version of Node may compress otherwise; that what is in brotli is the file itself is asked in the browser's tests.
    let compared = made.iter().zip(&committed);
    for ((name, made), (_, committed)) in compared.filter(|((name, _), _)| !name.ends_with(".br")) {
        assert!(made == committed, "{name} differs: run `make web`");
    }
}

#[test]
fn its_types_are_those_of_the_interface() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let made = folder.path().join("schema.d.ts");
    let url = format!("{}/openapi.json", server.url());
    tool(
        "openapi-typescript",
        &[&url, "-o", &made.display().to_string()],
    );
    let read = |path: &Path| std::fs::read_to_string(path).expect("the types can be read");
    assert!(
        read(&made) == read(&web().join("src/api/schema.d.ts")),
        "run `make web`"
    );
    server.stop();
}

#[test]
fn its_units_pass() {
    let said = tool("vitest", &["run"]);
    assert!(said.contains("Tests") && !said.contains("failed"), "{said}");
}

/// One browser goes through all parts, one after another. `WEIR_PICTURES=1` makes the pictures of the guide anew.
#[test]
fn it_does_in_a_browser_what_the_guide_says() {
    let binary = binary::weir().display().to_string();
    let mut arguments = vec!["../browser/run.js", binary.as_str()];
    let pictures = binary::workspace()
        .join("docs/console")
        .display()
        .to_string();
    if std::env::var_os("WEIR_PICTURES").is_some() {
        arguments.extend(["--pictures", pictures.as_str()]);
    }
    let said = foreign::node(arguments[0], &arguments[1..]);
    eprintln!("{said}");
    assert!(said.ends_with("ok\n"), "{said}");
}
