//! Colours of SQL while it is typed.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::lexer::{Kind, tokens};

/// Colours keywords, texts, numbers and comments.
#[derive(Debug)]
pub(super) struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        for token in tokens(line) {
            let text = line.get(token.range).unwrap_or_default();
            styled.push((style(token.kind, text), text.to_owned()));
        }
        styled
    }
}

fn style(kind: Kind, text: &str) -> Style {
    match kind {
        Kind::Word if weir_sql::keywords::is_keyword(text) => Color::LightBlue.bold(),
        Kind::Word | Kind::Quoted | Kind::Other => Style::new(),
        Kind::Number => Color::Cyan.normal(),
        Kind::Text => Color::Green.normal(),
        Kind::Comment => Color::DarkGray.normal(),
        Kind::Backslash => Color::Purple.normal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_itself_does_not_change() {
        for sql in ["SELECT 'a' FROM t -- c", "select \"ü\" \\x", "'open"] {
            let styled = SqlHighlighter.highlight(sql, 0);
            let text: String = styled
                .buffer
                .iter()
                .map(|(_, text)| text.as_str())
                .collect();
            assert_eq!(text, sql);
        }
        assert_ne!(style(Kind::Word, "select"), style(Kind::Word, "auction"));
    }
}
