//! Reading locations as a user writes them: paths, `file://`, `s3://`, `gs://`, `az://`, `http(s)://`, with globs.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::connection::Kind;
use crate::{Error, Result};

/// A location, taken apart but not yet looked at.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A path on this machine. The glob is what follows the first folder whose name is a pattern.
    Local { path: PathBuf, glob: Option<String> },
    /// A path in a store on the network.
    Remote {
        kind: Kind,
        /// What a store is made for: the bucket, the container, or for HTTP the URL without its path.
        root: String,
        /// Below the root, not percent-encoded, without leading slash; a trailing slash means a folder.
        path: String,
        glob: Option<String>,
        /// Of an Azure URL that names one.
        account: Option<String>,
    },
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path, glob } => write!(f, "Local({path:?}, {glob:?})"),
            Self::Remote {
                kind, path, glob, ..
            } => {
                write!(f, "Remote({}, {path:?}, {glob:?})", kind.name())
            }
        }
    }
}

impl Location {
    /// Takes `text` apart. Relative paths start at `working_dir`.
    pub(crate) fn parse(text: &str, working_dir: &Path) -> Result<Self> {
        if text.is_empty() || text.contains('\0') {
            return Err(Error::invalid(
                "the location is empty or holds a NUL character",
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::local(working_dir.join(text));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(Error::invalid(format!("{text:?} names another machine"))
                        .with_hint("write file:///absolute/path, or a plain path"));
                }
                Self::local(PathBuf::from(percent_decoded(path)))
            }
            "s3" | "s3a" => Self::bucket(Kind::S3, rest),
            "gs" | "gcs" => Self::bucket(Kind::Gcs, rest),
            "az" | "azure" => Self::bucket(Kind::Azure, rest),
            "abfs" | "abfss" => Self::abfs(text, rest),
            "http" | "https" => Self::http(text),
            _ => Err(Error::invalid(format!("{scheme}:// is not a kind of location")).with_hint(
                "write a path, file://, s3://bucket/…, gs://bucket/…, az://container/…, http:// or https://",
            )),
        }
    }

    fn local(path: PathBuf) -> Result<Self> {
        let text = path
            .to_str()
            .ok_or_else(|| Error::invalid("the path is not valid UTF-8"))?;
        // A file whose very name holds pattern characters is meant as itself.
        if path.exists() {
            return Ok(Self::Local { path, glob: None });
        }
        let (path, glob) = split_glob(text);
        Ok(Self::Local {
            path: PathBuf::from(path),
            glob: glob.map(str::to_owned),
        })
    }

    fn bucket(kind: Kind, rest: &str) -> Result<Self> {
        let (root, path) = rest.split_once('/').unwrap_or((rest, ""));
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if root.is_empty() || !root.chars().all(legal) {
            return Err(Error::invalid(format!(
                "{root:?} is not the name of a bucket or container"
            )));
        }
        Self::remote(kind, root.to_owned(), path, None)
    }

    fn abfs(text: &str, rest: &str) -> Result<Self> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        match authority.split_once('@') {
            None => Self::bucket(Kind::Azure, rest),
            Some((container, host)) if !container.is_empty() => {
                let account = host.split('.').next().map(str::to_owned);
                Self::remote(Kind::Azure, container.to_owned(), path, account)
            }
            Some(_) => Err(Error::invalid(format!("{text:?} names no container"))),
        }
    }

    fn http(text: &str) -> Result<Self> {
        let mut url = Url::parse(text)
            .map_err(|error| Error::invalid(format!("not a valid URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid("a location must hold no credentials")
                .with_hint("CREATE CONNECTION … WITH (type = 'http', url = '…', username = '…', password = '…')"));
        }
        url.set_fragment(None);
        let path = percent_decoded(url.path().trim_start_matches('/'));
        url.set_path("/");
        Ok(Self::Remote {
            kind: Kind::Http,
            root: url.to_string(),
            path,
            // A web server cannot list what it has, and `*` may stand in a URL.
            glob: None,
            account: None,
        })
    }

    fn remote(kind: Kind, root: String, path: &str, account: Option<String>) -> Result<Self> {
        let (path, glob) = split_glob(path);
        let parts = || {
            path.split('/')
                .chain(glob.into_iter().flat_map(|glob| glob.split('/')))
        };
        if parts().any(|part| matches!(part, "." | "..")) {
            return Err(Error::invalid(
                "\".\" and \"..\" mean nothing in an object store",
            ));
        }
        Ok(Self::Remote {
            kind,
            root,
            path: path.to_owned(),
            glob: glob.map(str::to_owned),
            account,
        })
    }
}

/// Splits `path` before the first segment that is a pattern.
fn split_glob(path: &str) -> (&str, Option<&str>) {
    let Some(special) = path.find(['*', '?', '[', '{']) else {
        return (path, None);
    };
    let start = path[..special].rfind('/').map_or(0, |slash| slash + 1);
    (&path[..start], Some(&path[start..]))
}

/// `text` with `%41` read as `A`; what is no such escape, or would not be UTF-8, stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location> {
        Location::parse(text, Path::new("/work"))
    }

    fn local(path: &str, glob: Option<&str>) -> Location {
        Location::Local {
            path: path.into(),
            glob: glob.map(str::to_owned),
        }
    }

    #[test]
    fn local_paths() {
        assert_eq!(
            parse("data/a.csv").unwrap(),
            local("/work/data/a.csv", None)
        );
        assert_eq!(
            parse("/x/y=*/z?.csv").unwrap(),
            local("/x/", Some("y=*/z?.csv"))
        );
        assert_eq!(
            parse("file:///x/a%20b.csv").unwrap(),
            local("/x/a b.csv", None)
        );
        assert_eq!(parse("FILE://localhost/x/").unwrap(), local("/x/", None));
        assert!(parse("file://elsewhere/x").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn remote_places() {
        let Location::Remote {
            kind,
            root,
            path,
            glob,
            ..
        } = parse("s3://lake/a b/day=*/x.parquet").unwrap()
        else {
            panic!("not remote");
        };
        assert_eq!(
            (kind, root.as_str(), path.as_str(), glob.as_deref()),
            (Kind::S3, "lake", "a b/", Some("day=*/x.parquet"))
        );
        let Location::Remote {
            root, path, glob, ..
        } = parse("https://h:1/a%20b/c.csv?sig=x*#y").unwrap()
        else {
            panic!("not remote");
        };
        assert_eq!(
            (root.as_str(), path.as_str(), glob),
            ("https://h:1/?sig=x*", "a b/c.csv", None)
        );
        let Location::Remote { root, account, .. } =
            parse("abfss://c@acc.dfs.core.windows.net/x/").unwrap()
        else {
            panic!("not remote");
        };
        assert_eq!((root.as_str(), account.as_deref()), ("c", Some("acc")));
        for bad in [
            "s3:///x",
            "s3://bu cket/x",
            "s3://b/../x",
            "ftp://x/y",
            "https://u:p@h/x",
            "http://",
            "abfss://@x/y",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(file://|s3://|https://|az://|abfs://)?.{0,40}") {
            let _ = parse(&text);
        }
    }
}
