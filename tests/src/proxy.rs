//! A proxy between Weir and a store on loopback that misbehaves as networks and stores do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes everything on.
    None,
    /// Answers every request with this status and no body.
    Status(u16),
    /// Passes answers on, so many bytes at a time with a pause of 10 ms between.
    Slow {
        /// Bytes a piece.
        piece: usize,
    },
    /// Cuts the connection after so many bytes of an answer.
    CutAfter {
        /// Bytes that are let through.
        bytes: usize,
    },
    /// Takes the request and never answers.
    Silent,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    fault: Arc<Mutex<Fault>>,
    remaining: Arc<Mutex<Option<u32>>>,
    connections: Arc<AtomicU64>,
    /// Counts the changes of the fault: connections of before are cut.
    changes: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `target` (`http://host:port`), without a fault yet.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: &str) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("the socket is bound")
        );
        let fault = Arc::new(Mutex::new(Fault::None));
        let remaining = Arc::new(Mutex::new(None));
        let connections = Arc::new(AtomicU64::new(0));
        let state = (fault.clone(), remaining.clone(), connections.clone());
        let changes = watch::Sender::new(0);
        let changed = changes.subscribe();
        let task = tokio::spawn(async move {
            let (fault, remaining, connections) = state;
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let fault = next_fault(&fault, &remaining);
                let target = target.clone();
                let mut changed = changed.clone();
                changed.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        // A broken connection is what this is for.
                        _ = serve(client, &target, fault) => {}
                        _ = changed.changed() => {}
                    }
                });
            }
        });
        Self {
            url,
            fault,
            remaining,
            connections,
            changes,
            task,
        }
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on this happens to every connection; those that are open are cut.
    pub fn set(&self, fault: Fault) {
        self.change(fault, None);
    }

    /// This happens to the next `connections` connections, and nothing to those after them. Those that are open are cut.
    pub fn set_for(&self, fault: Fault, connections: u32) {
        self.change(fault, Some(connections));
    }

    fn change(&self, fault: Fault, remaining: Option<u32>) {
        *self.fault.lock() = fault;
        *self.remaining.lock() = remaining;
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn next_fault(fault: &Mutex<Fault>, remaining: &Mutex<Option<u32>>) -> Fault {
    let mut fault = fault.lock();
    if let Some(left) = remaining.lock().as_mut() {
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => *fault = Fault::None,
        }
    }
    *fault
}

async fn serve(mut client: TcpStream, target: &str, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Status(status) => {
            read_head(&mut client).await?;
            let answer = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await
        }
        Fault::Silent => {
            // Until the other side gives up.
            let mut ignored = Vec::new();
            client.read_to_end(&mut ignored).await.map(|_| ())
        }
        Fault::None => pass(client, target, usize::MAX, usize::MAX, Duration::ZERO).await,
        Fault::Slow { piece } => {
            pass(client, target, piece, usize::MAX, Duration::from_millis(10)).await
        }
        Fault::CutAfter { bytes } => pass(client, target, usize::MAX, bytes, Duration::ZERO).await,
    }
}

async fn read_head(client: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = client.read(&mut byte).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&byte[..read]);
    }
    Ok(())
}

/// Passes requests on as they are, and answers in pieces of at most `piece` bytes, `bytes` in all.
async fn pass(
    client: TcpStream,
    target: &str,
    piece: usize,
    bytes: usize,
    pause: Duration,
) -> std::io::Result<()> {
    let store = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    let requests =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_store).await });
    let mut buffer = vec![0; piece.min(64 * 1024)];
    let mut left = bytes;
    while left > 0 {
        let room = buffer.len().min(left);
        let read = from_store.read(&mut buffer[..room]).await?;
        if read == 0 {
            break;
        }
        to_client.write_all(&buffer[..read]).await?;
        left -= read;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    requests.abort();
    Ok(())
}
