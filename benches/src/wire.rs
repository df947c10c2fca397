//! HTTP/1.1 by hand over one kept-alive connection: what a client costs here is taken from the server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection to a server.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    host: String,
}

/// How an answer's body is framed.
enum Body {
    Length(u64),
    Chunked,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, connection),
            host: address.to_owned(),
        })
    }

    /// The bytes of a request, to be sent as often as wanted.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// Sends a request whose answer is not read.
    pub(crate) fn send_only(&self, request: &[u8]) -> io::Result<()> {
        self.reader.get_ref().write_all(request)
    }

    /// Sends a request and gives the answer's body, which must be whole and of status 200.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.ask_each(request, |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    /// Sends a request and gives the length of the answer's body, which must be whole and of status 200.
    pub(crate) fn ask_length(&mut self, request: &[u8]) -> io::Result<u64> {
        let mut length = 0;
        self.ask_each(request, |piece| length += piece.len() as u64)?;
        Ok(length)
    }

    /// Sends a request and hands on the body in pieces.
    pub(crate) fn ask_each(
        &mut self,
        request: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.reader.get_mut().write_all(request)?;
        let (status, body) = self.head()?;
        match body {
            Body::Length(length) => self.pass(length, &mut take)?,
            Body::Chunked => loop {
                let size = self.line()?;
                let size = u64::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
                    .map_err(|_| io::Error::other(format!("no chunk size: {size:?}")))?;
                if size == 0 {
                    self.line()?;
                    break;
                }
                self.pass(size, &mut take)?;
                self.line()?;
            },
        }
        if status != 200 {
            return Err(io::Error::other(format!("status {status}")));
        }
        Ok(())
    }

    /// Sends a request and gives the lines of its endless answer to `take`, until that says false.
    pub(crate) fn follow(
        &mut self,
        request: &[u8],
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        self.reader.get_mut().write_all(request)?;
        let (status, body) = self.head()?;
        if status != 200 || !matches!(body, Body::Chunked) {
            return Err(io::Error::other(format!("status {status}")));
        }
        let mut line = Vec::new();
        loop {
            let size = self.line()?;
            let mut left = u64::from_str_radix(size.trim(), 16)
                .map_err(|_| io::Error::other("no chunk size"))?;
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                let mut part = (&mut self.reader).take(left);
                let read = part.read_until(b'\n', &mut line)? as u64;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= read;
                if line.ends_with(b"\n") {
                    if !take(&line) {
                        return Ok(());
                    }
                    line.clear();
                }
            }
            self.line()?;
        }
    }

    fn head(&mut self) -> io::Result<(u16, Body)> {
        let first = self.line()?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status =
            status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
        let mut body = Body::Length(0);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, body));
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            if name.eq_ignore_ascii_case("content-length") {
                let length = value
                    .trim()
                    .parse()
                    .map_err(|_| io::Error::other("no length"))?;
                body = Body::Length(length);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunked;
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn pass(&mut self, mut left: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            let there = self.reader.fill_buf()?;
            if there.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let piece = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&there[..piece]);
            self.reader.consume(piece);
            left -= piece as u64;
        }
        Ok(())
    }
}
