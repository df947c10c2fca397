//! SQL text as tokens that know where in the text they stand.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, TokenizerError,
};
use weir_base::Position;

use crate::asof;
use crate::dialect::dialect;
use crate::error::{Error, Result};

/// A text and its tokens, space and comments included.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    /// Byte offsets of the tokens' starts, and the text's length.
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Tokenizes `text`.
    ///
    /// # Errors
    /// [`Error::Syntax`] for a quote or comment that does not end, and for a malformed literal.
    pub(crate) fn new(text: &'a str) -> Result<Self> {
        let mut tokens = Vec::new();
        let result = Tokenizer::new(&dialect(), text).tokenize_with_location_into_buf(&mut tokens);
        match result {
            Ok(()) => Ok(Self::with_tokens(text, tokens)),
            Err(error) => Err(tokenizer_error(&error, text)),
        }
    }

    /// As much of `text` as can be tokenized.
    pub(crate) fn prefix(text: &'a str) -> (Self, Option<TokenizerError>) {
        let mut tokens = Vec::new();
        let result = Tokenizer::new(&dialect(), text).tokenize_with_location_into_buf(&mut tokens);
        (Self::with_tokens(text, tokens), result.err())
    }

    fn with_tokens(text: &'a str, tokens: Vec<TokenWithSpan>) -> Self {
        let mut tokens = question_marks(split_closing_angles(tokens));
        asof::settle(&mut tokens);
        let mut starts = Vec::with_capacity(tokens.len() + 1);
        let (mut line, mut column) = (1, 1);
        let mut chars = text.char_indices().peekable();
        for token in &tokens {
            let start = token.span.start;
            while let Some((_, character)) = chars.peek()
                && (line, column) < (start.line, start.column)
            {
                if *character == '\n' {
                    (line, column) = (line + 1, 1);
                } else {
                    column += 1;
                }
                chars.next();
            }
            starts.push(chars.peek().map_or(text.len(), |(offset, _)| *offset));
        }
        starts.push(text.len());
        Self {
            text,
            tokens,
            starts,
        }
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token at `at`, or the end of the text.
    pub(crate) fn token(&self, at: usize) -> &Token {
        self.tokens
            .get(at)
            .map_or(&Token::EOF, |token| &token.token)
    }

    /// The tokens from `from` to before `to`.
    pub(crate) fn tokens(&self, from: usize, to: usize) -> &[TokenWithSpan] {
        self.tokens.get(from..to).unwrap_or_default()
    }

    /// The user's text from token `from` to before token `to`, without space and comments at its ends.
    pub(crate) fn text(&self, from: usize, to: usize) -> &'a str {
        let from = (from..to)
            .find(|at| !is_space(self.token(*at)))
            .unwrap_or(to);
        let to = (from..to)
            .rev()
            .find(|at| !is_space(self.token(*at)))
            .map_or(from, |last| last + 1);
        let range = self.offset(from)..self.offset(to);
        self.text.get(range).unwrap_or_default()
    }

    /// Where the token at `at` starts in bytes; past the last token, the end.
    pub(crate) fn offset(&self, at: usize) -> usize {
        self.starts.get(at).copied().unwrap_or(self.text.len())
    }

    /// Where the token at `at` starts; past the last token, the end.
    pub(crate) fn position(&self, at: usize) -> Position {
        match self.tokens.get(at) {
            Some(token) => position(token.span.start),
            None => end_of(self.text),
        }
    }
}

/// `text` with the words that begin at these places written otherwise; none where one of them begins no word.
pub fn with_words_replaced(
    text: &str,
    replacements: impl IntoIterator<Item = (Position, String)>,
) -> Option<String> {
    let source = Source::new(text).ok()?;
    let mut written = String::with_capacity(text.len());
    let mut done = 0;
    let mut replacements: Vec<_> = replacements.into_iter().collect();
    replacements.sort_by_key(|(at, _)| (at.line, at.column));
    let mut words = (0..source.len()).filter(|at| matches!(source.token(*at), Token::Word(_)));
    for (place, replacement) in replacements {
        let word = words.find(|at| source.position(*at) == place)?;
        written.push_str(text.get(done..source.offset(word))?);
        written.push_str(&replacement);
        done = source.offset(word + 1);
    }
    written.push_str(text.get(done..)?);
    Some(written)
}

/// Takes the `>>>` that closes `ARRAY<ARRAY<ARRAY<INT>>>` apart: to the tokenizer it is an operator.
fn split_closing_angles(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut open = 0_usize;
    let mut after_type = false;
    for token in tokens {
        let closes = match &token.token {
            Token::Gt => 1,
            Token::ShiftRight => 2,
            Token::CustomBinaryOperator(text) if text.bytes().all(|byte| byte == b'>') => {
                text.len()
            }
            _ => 0,
        };
        match &token.token {
            Token::Lt if after_type => open += 1,
            _ if closes > 1 && closes <= open => {
                for nth in 0..closes as u64 {
                    let place = |nth| Location {
                        column: token.span.start.column + nth,
                        ..token.span.start
                    };
                    let span = place(nth).span_to(place(nth + 1));
                    out.push(TokenWithSpan::new(Token::Gt, span));
                }
                open -= closes;
                continue;
            }
            _ => open = open.saturating_sub(closes),
        }
        if !is_space(&token.token) {
            after_type = matches!(&token.token, Token::Word(word)
                if matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP));
        }
        out.push(token);
    }
    out
}

/// Makes operators of JSON of question marks, `?`, `?|` and `?&`: parameters are written `$1`.
fn question_marks(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let joined = match (out.last().map(|last| &last.token), &token.token) {
            (Some(Token::Question), Token::Pipe) => Some(Token::QuestionPipe),
            (Some(Token::Question), Token::Ampersand) => Some(Token::QuestionAnd),
            _ => None,
        };
        if let (Some(joined), Some(last)) = (joined, out.last_mut())
            && last.span.end == token.span.start
        {
            *last = TokenWithSpan::new(joined, last.span.union(&token.span));
            continue;
        }
        let is_mark = matches!(&token.token, Token::Placeholder(text) if text == "?");
        out.push(match is_mark {
            true => TokenWithSpan::new(Token::Question, token.span),
            false => token,
        });
    }
    out
}

/// Whether a token is space or a comment.
pub(crate) fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// A parser's location as ours.
pub(crate) fn position(location: Location) -> Position {
    Position {
        line: location.line.max(1),
        column: location.column.max(1),
    }
}

fn end_of(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() as u64 + 1,
        column: last.chars().count() as u64 + 1,
    }
}

fn tokenizer_error(error: &TokenizerError, text: &str) -> Error {
    let position = match error.location.line {
        0 => end_of(text),
        _ => position(error.location),
    };
    let message = error.message.trim_end_matches('.');
    let mut message: String = message.to_owned();
    if let Some(first) = message.get(..1).map(str::to_lowercase) {
        message.replace_range(..1, &first);
    }
    let (message, hint) = if message.contains("comment") {
        (
            "comment is not closed".to_owned(),
            Some("end the comment with */"),
        )
    } else if message.contains("close delimiter") {
        (
            "quoted name is not closed".to_owned(),
            Some("end the name with \""),
        )
    } else if message.contains("dollar") {
        (
            "dollar-quoted text is not closed".to_owned(),
            Some("end the text with the tag that it starts with"),
        )
    } else if message.contains("unterminated") {
        (
            "text is not closed".to_owned(),
            Some("end the text with ', and write a ' inside it twice"),
        )
    } else {
        (message, None)
    };
    Error::syntax(message, position).or_hint(|| hint.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tokens_texts_are_the_text(text in "[a-z0-9 \n\t'\"$;:,.()üλ/*+-]{0,60}") {
            if let Ok(source) = Source::new(&text) {
                prop_assert!(source.starts.windows(2).all(|pair| pair[0] < pair[1] || source.len() == 0));
                prop_assert_eq!(source.text(0, source.len()).is_empty(), (0..source.len()).all(|at| is_space(source.token(at))));
            }
        }
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let source = Source::new("SELECT 'ü',\n\tx\r\n, y").unwrap();
        let at = |text: &str| {
            (0..source.len())
                .find(|at| source.token(*at).to_string() == text)
                .unwrap()
        };
        assert_eq!(source.position(at("x")), Position { line: 2, column: 2 });
        assert_eq!(source.position(at("y")), Position { line: 3, column: 3 });
        assert_eq!(source.text(at("x"), at("y")), "x\r\n,");
        assert_eq!(
            source.position(source.len()),
            Position { line: 3, column: 4 }
        );
    }

    #[test]
    fn what_does_not_end_is_an_error_with_a_place() {
        let error = Source::new("SELECT 'abc").unwrap_err();
        assert!(
            matches!(&error, Error::Syntax { position, hint: Some(_), .. } if *position == Position { line: 1, column: 8 }),
            "{error:?}"
        );
        assert!(Source::new("SELECT /* abc").is_err());
        assert!(Source::new("SELECT \"abc").is_err());
    }
}
