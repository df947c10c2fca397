//! The prompt: history, several lines, colours, completion.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline,
    ReedlineEvent, ReedlineMenu, Signal, ValidationResult, Validator, default_emacs_keybindings,
};
use tokio::runtime::Runtime;

use super::complete::{Names, SqlCompleter};
use super::highlight::SqlHighlighter;
use super::script::{self, Next};
use super::shell::Shell;
use crate::error::{Error, Result};

const HISTORY_LINES: usize = 10_000;
const COMPLETION_MENU: &str = "completion";

/// Reads and runs until the person leaves.
pub(super) fn run(shell: &mut Shell, runtime: &Runtime) -> Result<()> {
    println!(
        "weir {} on {}. \\? for help.",
        env!("CARGO_PKG_VERSION"),
        shell.client.address()
    );
    let names = Names::default();
    let mut editor = editor(names.clone());
    loop {
        if std::mem::take(&mut shell.names_are_old) {
            // In the background; until they are there, only keywords are completed.
            let (names, client) = (names.clone(), shell.client.clone());
            runtime.spawn(async move { names.refresh(&client).await });
        }
        let prompt = WeirPrompt {
            waiting: !shell.pending.is_empty(),
        };
        match editor.read_line(&prompt)? {
            Signal::Success(text) => {
                match runtime.block_on(script::run_lines(shell, &text)) {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Leave) => return Ok(()),
                    // It has been told; the prompt goes on.
                    Err(Error::Reported(_)) => shell.pending.clear(),
                    Err(error) => return Err(error),
                }
            }
            Signal::CtrlC => shell.pending.clear(),
            Signal::CtrlD => return Ok(()),
            _ => {}
        }
    }
}

fn editor(names: Names) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(COMPLETION_MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    keys.add_binding(
        KeyModifiers::ALT,
        KeyCode::Enter,
        ReedlineEvent::Edit(vec![EditCommand::InsertNewline]),
    );
    let editor = Reedline::create()
        .with_completer(Box::new(SqlCompleter(names)))
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(
            ColumnarMenu::default().with_name(COMPLETION_MENU),
        )))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_highlighter(Box::new(SqlHighlighter))
        .with_hinter(Box::new(
            DefaultHinter::default().with_style(Style::new().fg(Color::DarkGray)),
        ))
        .with_validator(Box::new(SqlValidator))
        // As in a shell: a line that starts with a space is not remembered.
        .with_history_exclusion_prefix(Some(" ".to_owned()));
    match history() {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            eprintln!("WARNING:  this session's history is not kept: {error}");
            editor
        }
    }
}

/// The history file: readable by its owner only, for statements can hold secrets.
fn history() -> Result<FileBackedHistory> {
    let path =
        history_path().ok_or_else(|| Error::usage("neither WEIR_HISTORY nor HOME is set"))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::file(&path, error))?;
    FileBackedHistory::with_file(HISTORY_LINES, path.clone()).map_err(|error| Error::Usage {
        message: format!("{}: {error}", path.display()),
        hint: None,
    })
}

/// `$WEIR_HISTORY`, else `weir/history` in the user's state folder (XDG base directories).
fn history_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("WEIR_HISTORY") {
        return Some(PathBuf::from(path));
    }
    let state = match variable("XDG_STATE_HOME") {
        Some(state) => PathBuf::from(state),
        None => PathBuf::from(variable("HOME")?).join(".local/state"),
    };
    Some(state.join("weir/history"))
}

#[derive(Debug)]
struct SqlValidator;

impl Validator for SqlValidator {
    fn validate(&self, text: &str) -> ValidationResult {
        if script::is_complete(text) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

#[derive(Debug)]
struct WeirPrompt {
    waiting: bool,
}

impl Prompt for WeirPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("weir")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed(if self.waiting { "-> " } else { "=> " })
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("    -> ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "failing ",
        };
        Cow::Owned(format!("({failing}search: {}) ", search.term))
    }
}
