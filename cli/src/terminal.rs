//! What is known of the terminal.

use std::io::{IsTerminal, stderr, stdin, stdout};

/// Columns of text, when standard output is a terminal.
pub(crate) fn width() -> Option<usize> {
    if !is_output() {
        return None;
    }
    let (_, columns) = console_size()?;
    Some(usize::from(columns))
}

/// Whether standard input is a terminal.
pub(crate) fn is_input() -> bool {
    stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub(crate) fn is_output() -> bool {
    stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub(crate) fn is_messages() -> bool {
    stderr().is_terminal()
}

/// Rows and columns of the terminal of standard output.
#[cfg(unix)]
fn console_size() -> Option<(u16, u16)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which lives until the call returns.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

#[cfg(not(unix))]
fn console_size() -> Option<(u16, u16)> {
    None
}
