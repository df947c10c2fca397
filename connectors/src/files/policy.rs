//! Which places SQL may reach: local folders that the operator allowed, and addresses of the public internet.

use std::path::{Component, Path, PathBuf};

use weir_base::Kind;

use crate::{Error, Result};

/// What the operator allows SQL to reach. Closed by default: no local folder, no private address.
#[derive(Debug, Clone, Default)]
pub struct FilePolicy {
    /// Local files are read and written only below these folders, after links are resolved.
    pub allow_paths: Vec<PathBuf>,
    /// Never below these folders, even where they lie in an allowed one (the server's own data).
    pub deny_paths: Vec<PathBuf>,
    /// Where locations on the network begin that statements may name: `s3://bucket/folder/`, `https://host/`. None allows all.
    pub allow_locations: Vec<String>,
    /// Whether HTTP stores may be on loopback, private, link-local and other addresses that are not of the public
    /// internet.
    pub allow_private_network: bool,
}

impl FilePolicy {
    /// Whether statements may name a location on the network, which is given as a URL without credentials and query.
    ///
    /// # Errors
    /// Denied when the operator allowed others alone.
    pub(crate) fn check_location(&self, url: &str) -> Result<()> {
        if self.allow_locations.is_empty() || is_under_one(&self.allow_locations, url) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Denied,
            format!("{url:?} is not below a location that this server may use"),
        )
        .with_hint("the operator allows one with allow_locations"))
    }

    /// The real path of `path`, which may not exist yet: links and `..` are resolved as far as it exists.
    ///
    /// # Errors
    /// Denied when the real path is not below an allowed folder. The answer is the same whether the file exists or
    /// not. Invalid when `..` follows something that does not exist.
    pub(crate) fn check(&self, path: &Path) -> Result<PathBuf> {
        let real = real_path(path)
            .ok_or_else(|| Error::invalid(format!("{:?} is not a usable path", path.display())))?;
        let below = |folders: &[PathBuf]| {
            folders
                .iter()
                .filter_map(|folder| real_path(folder))
                .any(|folder| real.starts_with(folder))
        };
        if below(&self.allow_paths) && !below(&self.deny_paths) {
            return Ok(real);
        }
        let error = Error::new(
            Kind::Denied,
            format!(
                "{:?} is not below a folder that this server may use",
                path.display()
            ),
        );
        Err(if self.allow_paths.is_empty() {
            error.with_hint("no folder is allowed: the operator starts weir with --allow-path DIR")
        } else {
            error.with_hint("the operator allows a folder by starting weir with --allow-path DIR")
        })
    }
}

/// Whether a URL is one of these or lies below one: `https://a/b` allows `https://a/b` and `https://a/b/c`, but not
/// `https://a/bc`.
pub(crate) fn is_under_one(allowed: &[String], url: &str) -> bool {
    allowed.iter().any(|allowed| {
        let folder = allowed.trim_end_matches('/');
        let rest = url.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// `path` with every link and `..` resolved as far as it exists; what does not exist yet is appended as it is.
fn real_path(path: &Path) -> Option<PathBuf> {
    let mut existing = path.to_path_buf();
    let mut missing = Vec::new();
    loop {
        if let Ok(mut real) = existing.canonicalize() {
            real.extend(missing.iter().rev());
            return Some(real);
        }
        // A dangling link would be followed by whoever creates its target later.
        if existing.is_symlink() {
            return None;
        }
        match existing.components().next_back()? {
            Component::Normal(name) => missing.push(name.to_os_string()),
            Component::CurDir => {}
            _ => return None,
        }
        if !existing.pop() {
            return None;
        }
        if existing.as_os_str().is_empty() {
            existing.push(".");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use weir_base::Classify;

    use super::*;

    fn policy(allow: &Path) -> FilePolicy {
        FilePolicy {
            allow_paths: vec![allow.to_owned()],
            ..FilePolicy::default()
        }
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let error = FilePolicy::default()
            .check(Path::new("/etc/passwd"))
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.hint().unwrap().contains("--allow-path"));
    }

    #[test]
    fn locations_are_allowed_by_where_they_begin() {
        let policy = FilePolicy {
            allow_locations: vec!["s3://lake/open/".into(), "https://data.example".into()],
            ..FilePolicy::default()
        };
        for allowed in [
            "s3://lake/open/a.csv",
            "s3://lake/open",
            "https://data.example/x/y",
        ] {
            assert!(policy.check_location(allowed).is_ok(), "{allowed}");
        }
        for refused in [
            "s3://lake/opener/a.csv",
            "s3://lake/",
            "s3://other/open/a.csv",
            "https://data.example.evil/x",
            "https://data.example:8443/x",
            "https://data.example@evil/x",
            "http://data.example/x",
        ] {
            assert!(policy.check_location(refused).is_err(), "{refused}");
        }
        assert!(
            FilePolicy::default()
                .check_location("https://any.where/")
                .is_ok()
        );
    }

    #[test]
    fn links_and_dots_do_not_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let (open, shut) = (root.path().join("open"), root.path().join("shut"));
        std::fs::create_dir_all(open.join("sub")).unwrap();
        std::fs::create_dir_all(&shut).unwrap();
        std::fs::write(shut.join("secret"), "x").unwrap();
        symlink(&shut, open.join("door")).unwrap();
        symlink(shut.join("secret"), open.join("key")).unwrap();
        symlink(shut.join("later"), open.join("dangling")).unwrap();
        symlink(open.join("sub"), open.join("inside")).unwrap();
        let policy = policy(&open);

        for allowed in ["a", "sub/b/c/new", "sub/../x", "inside/y", "./z", ""] {
            assert!(policy.check(&open.join(allowed)).is_ok(), "{allowed}");
        }
        for refused in [
            "door/secret",
            "door/new",
            "key",
            "dangling",
            "../shut/secret",
            "../open2",
            "sub/../../shut/secret",
            "new/../../shut/secret",
            "..",
        ] {
            assert!(policy.check(&open.join(refused)).is_err(), "{refused}");
        }
        let neighbour = root.path().join("opener");
        assert!(
            policy.check(&neighbour).is_err(),
            "a prefix of a name is no folder"
        );
    }

    #[test]
    fn an_allowed_folder_may_itself_be_a_link_and_a_denied_one_wins() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("real");
        std::fs::create_dir_all(real.join("data")).unwrap();
        symlink(&real, root.path().join("link")).unwrap();
        let policy = FilePolicy {
            allow_paths: vec![root.path().join("link")],
            deny_paths: vec![real.join("data")],
            ..FilePolicy::default()
        };
        assert!(policy.check(&real.join("x")).is_ok());
        assert!(policy.check(&root.path().join("link/x")).is_ok());
        assert!(policy.check(&root.path().join("link/data/log")).is_err());
    }
}
