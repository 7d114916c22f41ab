//! A strict reader of scripts: `Name -Parameter literal … | …; …` and nothing else.
//!
//! A script that it reads becomes commands, and is sent as commands. Names and bare words are ASCII; texts stand in single
//! quotes; there are no variables but `$true`, `$false` and `$null`, no sub-expressions, no operators, no blocks.

use crate::dialect::psrp::clixml::Item;
use crate::dialect::shown;

use super::PipelineError;
use super::shape::{Command, MAX_COMMANDS};

const MAX_BYTES: usize = 1 << 16;

enum Token<'s> {
    /// `|`
    Pipe,
    /// `;` or the end of a line.
    End,
    /// `-Name` or `-Name:`.
    Parameter(&'s str),
    /// `'…'`, a number or a named constant.
    Literal(Item),
    /// A word without quotes.
    Word(&'s str),
}

/// The statements of a script's command.
pub(super) fn read(script: &Command) -> Result<Vec<Vec<Command>>, PipelineError> {
    let text = script.text.as_str();
    if !script.arguments.is_empty() || text.len() > MAX_BYTES {
        return Err(refused("a script with arguments, or a long one,"));
    }
    let mut statements: Vec<Vec<Command>> = Vec::new();
    let mut statement: Vec<Command> = Vec::new();
    let mut command: Option<Command> = None;
    let mut rest = text;
    let mut after_pipe = false;
    while let Some((token, after)) = token(rest)? {
        rest = after;
        match (token, &mut command) {
            (Token::Pipe, _) => {
                statement.push(
                    command
                        .take()
                        .ok_or_else(|| refused("a `|` without a command before it"))?,
                );
                after_pipe = true;
            }
            (Token::End, current) => {
                if let Some(command) = current.take() {
                    statement.push(command);
                    statements.push(std::mem::take(&mut statement));
                } else if after_pipe && !rest.is_empty() {
                    // A line may end after `|`.
                    continue;
                }
            }
            (Token::Word(word), None) => {
                after_pipe = false;
                command = Some(Command {
                    text: word.to_owned(),
                    is_script: false,
                    scope: script.scope,
                    merges: script.merges.clone(),
                    arguments: Vec::new(),
                });
            }
            (Token::Literal(_) | Token::Parameter(_), None) => {
                return Err(refused("a statement that does not begin with a command"));
            }
            (Token::Word(word), Some(command)) => {
                command.arguments.push((None, Item::text(word)));
            }
            (Token::Literal(item), Some(command)) => command.arguments.push((None, item)),
            (Token::Parameter(name), Some(command)) => match name.strip_suffix(':') {
                Some(_) => {
                    let (item, after) = match self::token(rest)? {
                        Some((Token::Literal(item), after)) => (item, after),
                        Some((Token::Word(word), after)) => (Item::text(word), after),
                        Some((Token::Pipe | Token::End | Token::Parameter(_), _)) | None => {
                            return Err(refused("a parameter without its value"));
                        }
                    };
                    rest = after;
                    command.arguments.push((Some(name.to_owned()), item));
                }
                None => command.arguments.push((Some(name.to_owned()), Item::Nil)),
            },
        }
        if statements.len() + statement.len() > MAX_COMMANDS {
            return Err(refused("a script of so many commands"));
        }
    }
    if let Some(command) = command {
        statement.push(command);
        statements.push(statement);
    } else if after_pipe {
        return Err(refused("a `|` without a command behind it"));
    }
    if statements.is_empty() {
        return Err(refused("an empty script"));
    }
    Ok(statements)
}

/// The next token and what follows it.
fn token(text: &str) -> Result<Option<(Token<'_>, &str)>, PipelineError> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(first) = text.chars().next() else {
        return Ok(None);
    };
    let single = |token| Ok(Some((token, text.get(1..).unwrap_or_default())));
    match first {
        '|' if !text.starts_with("||") => single(Token::Pipe),
        ';' | '\n' | '\r' => single(Token::End),
        '\'' => {
            let (item, rest) = quoted(text)?;
            ended(Token::Literal(item), rest)
        }
        '$' => {
            let (word, rest) = word(text.get(1..).unwrap_or_default());
            let item = match word.to_ascii_lowercase().as_str() {
                "true" => Item::Bool(true),
                "false" => Item::Bool(false),
                "null" => Item::Nil,
                _ => return Err(refused("a variable")),
            };
            ended(Token::Literal(item), rest)
        }
        '-' => {
            let (name, rest) = word(text.get(1..).unwrap_or_default());
            if name.starts_with(|it: char| it.is_ascii_digit()) {
                return ended(Token::Literal(number(text, rest)?), rest);
            }
            let is_name = name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_');
            if name.is_empty() || !is_name {
                return Err(refused("an operator, or an odd parameter,"));
            }
            let (length, rest) = match rest.strip_prefix(':') {
                Some(rest) => (name.len() + 2, rest),
                None => (name.len() + 1, rest),
            };
            let written = Token::Parameter(text.get(..length).unwrap_or_default());
            if written_with_colon(&written) {
                return Ok(Some((written, rest)));
            }
            ended(written, rest)
        }
        it if it.is_ascii_digit() => {
            let (_, rest) = word(text);
            ended(Token::Literal(number(text, rest)?), rest)
        }
        it if it.is_ascii_alphabetic() => {
            let (word, rest) = word(text);
            ended(Token::Word(word), rest)
        }
        _ => Err(refused(&format!(
            "`{}`",
            shown(&text.chars().take(8).collect::<String>())
        ))),
    }
}

fn written_with_colon(token: &Token<'_>) -> bool {
    match token {
        Token::Parameter(name) => name.ends_with(':'),
        Token::End | Token::Literal(_) | Token::Pipe | Token::Word(_) => false,
    }
}

/// A token must be followed by something that separates it from the next.
fn ended<'s>(
    token: Token<'s>,
    rest: &'s str,
) -> Result<Option<(Token<'s>, &'s str)>, PipelineError> {
    if rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n', ';', '|']) {
        Ok(Some((token, rest)))
    } else {
        let start: String = rest.chars().take(8).collect();
        Err(refused(&format!(
            "`{}` in the middle of a word",
            shown(&start)
        )))
    }
}

/// A word without quotes, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let is_word = |it: u8| {
        it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.' | b'@' | b'\\' | b'/')
    };
    let end = text
        .bytes()
        .position(|it| !is_word(it))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// `'…'`, in which `''` is one quote.
fn quoted(text: &str) -> Result<(Item, &str), PipelineError> {
    // PowerShell takes these for quotes, too.
    const CURLED: [char; 4] = ['\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    let mut out = String::new();
    let mut rest = text.strip_prefix('\'').unwrap_or_default();
    loop {
        let (part, after) = rest
            .split_once('\'')
            .ok_or_else(|| refused("a text that does not end"))?;
        if part.contains(CURLED) {
            return Err(refused("a text with curled quotes in it"));
        }
        out.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                out.push('\'');
                rest = after;
            }
            None => return Ok((Item::Text(out), after)),
        }
    }
}

/// The whole number that stands at the start of `text`, before `rest`.
fn number(text: &str, rest: &str) -> Result<Item, PipelineError> {
    let digits = text.get(..text.len() - rest.len()).unwrap_or_default();
    match digits.parse::<i32>() {
        Ok(number) if number.to_string() == digits => Ok(Item::i32(number)),
        Ok(_) | Err(_) => Err(refused(&format!(
            "`{}`, which is not a plain whole number and not in quotes,",
            shown(digits)
        ))),
    }
}

fn refused(what: &str) -> PipelineError {
    PipelineError::refused(
        "script",
        format!(
            "{what} is not let through in a script; only `Name -Parameter 'value'` pipelines are, so send each command by itself, with texts in single quotes"
        ),
    )
}
