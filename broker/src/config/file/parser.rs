//! The grammar of configuration files: from text to values.
//!
//! A superset of JSON, as nats-server 2.15 reads it (`conf/lex.go`, `conf/parse.go`): keys and values with
//! `:`, `=` or a blank between them, values that end with their line, comments with `#` and `//`, bare
//! texts, numbers with size suffixes, variables and includes.

use std::path::{Path, PathBuf};

use super::value::{Entry, Field, Value};
use super::{ConfigFileError, Place};
use crate::config::byte_size::sized;

/// Lists and maps within each other, and files that include files: 32 levels.
const DEPTH_MAX: usize = 32;

/// How includes are read; tests have files of their own.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// Reads a file and what it includes.
pub(super) fn parse(path: &Path, read: ReadFile<'_>) -> Result<Vec<Field>, ConfigFileError> {
    let start = Place::start(path);
    let text = read(path).map_err(|error| start.unread(path, &error))?;
    let mut scopes = vec![Vec::new()];
    Parser::new(&text, path, read, 0).top_level(&mut scopes)?;
    Ok(scopes.swap_remove(0))
}

/// The maps around a place, outermost first; variables are looked up in them.
type Scopes = Vec<Vec<Field>>;

struct Parser<'a> {
    text: &'a str,
    path: &'a Path,
    read: ReadFile<'a>,
    /// Byte in the text.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, path: &'a Path, read: ReadFile<'a>, depth: usize) -> Self {
        Self {
            text,
            path,
            read,
            at: 0,
            depth,
        }
    }

    /// A whole file: fields, or one map around them.
    fn top_level(&mut self, scopes: &mut Scopes) -> Result<(), ConfigFileError> {
        self.skip_blank_lines();
        let braced = self.take('{');
        self.fields(scopes, braced)?;
        self.skip_blank_lines();
        match self.peek() {
            None => Ok(()),
            Some(other) => {
                Err(self.grammar(&format!("expected the end of the file, not {other:?}")))
            }
        }
    }

    /// Fields up to `}` or the end of the file, into the innermost scope.
    fn fields(&mut self, scopes: &mut Scopes, braced: bool) -> Result<(), ConfigFileError> {
        loop {
            self.skip_separators();
            match self.peek() {
                None if braced => return Err(self.grammar("unexpected end of the file in a map")),
                None => return Ok(()),
                Some('}') if braced => {
                    self.bump();
                    return Ok(());
                }
                Some(_) => {}
            }
            let place = self.place();
            let key = self.key()?;
            if key.eq_ignore_ascii_case("include")
                && !matches!(self.peek_behind_blanks(), Some(':' | '='))
            {
                self.include(scopes)?;
                continue;
            }
            self.skip_blanks();
            if matches!(self.peek(), Some(':' | '=')) {
                self.bump();
            }
            self.skip_blanks();
            let entry = self.value(scopes)?;
            self.end_of_value(braced)?;
            let scope = scopes.last_mut().expect("the file itself is a scope");
            // The last one counts, as in nats-server.
            scope.retain(|field| field.key != key);
            scope.push(Field {
                key,
                place,
                is_variable: false,
                entry,
            });
        }
    }

    fn key(&mut self) -> Result<String, ConfigFileError> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let start = self.at;
                while self
                    .peek()
                    .is_some_and(|c| !c.is_whitespace() && !":={}[],;".contains(c))
                {
                    self.bump();
                }
                if start == self.at {
                    return Err(self.grammar("expected a key"));
                }
                Ok(self.text[start..self.at].to_owned())
            }
        }
    }

    /// What a value must be followed by: the end of its line, a comma, or the end of its map.
    fn end_of_value(&mut self, braced: bool) -> Result<(), ConfigFileError> {
        self.skip_blanks();
        match self.peek() {
            None | Some('\n' | '\r' | ',' | ';' | '#') => Ok(()),
            Some('}') if braced => Ok(()),
            Some('/') if self.rest().starts_with("//") => Ok(()),
            Some(other) => Err(self.grammar(&format!(
                "expected the end of a value, a new line or a comma, not {other:?}"
            ))),
        }
    }

    fn value(&mut self, scopes: &mut Scopes) -> Result<Entry, ConfigFileError> {
        let place = self.place();
        let value = match self.peek() {
            Some('{') => {
                self.bump();
                self.deeper()?;
                scopes.push(Vec::new());
                self.fields(scopes, true)?;
                self.depth -= 1;
                Value::Map(scopes.pop().unwrap_or_default())
            }
            Some('[') => {
                self.bump();
                self.deeper()?;
                let list = self.list(scopes)?;
                self.depth -= 1;
                Value::List(list)
            }
            Some('(') => self.block()?,
            Some(quote @ ('"' | '\'')) => Value::Text(self.quoted(quote)?),
            None | Some('\n' | '\r' | '}' | ']' | ',' | ';') => {
                return Err(self.grammar("expected a value"));
            }
            Some(_) => self.bare(scopes)?,
        };
        Ok(Entry { place, value })
    }

    fn list(&mut self, scopes: &mut Scopes) -> Result<Vec<Entry>, ConfigFileError> {
        let mut entries = Vec::new();
        loop {
            self.skip_separators();
            match self.peek() {
                None => return Err(self.grammar("unexpected end of the file in a list")),
                Some(']') => {
                    self.bump();
                    return Ok(entries);
                }
                Some(_) => entries.push(self.value(scopes)?),
            }
        }
    }

    /// Text between `(` and a line with nothing but `)`.
    fn block(&mut self) -> Result<Value, ConfigFileError> {
        self.bump();
        let start = self.at;
        let mut line_start = start;
        for line in self.text[start..].split_inclusive('\n') {
            if line_start > start && line.trim() == ")" {
                let text = self.text[start..line_start].trim_matches('\n').to_owned();
                self.at = line_start + line.find(')').unwrap_or_default() + 1;
                return Ok(Value::Text(text));
            }
            line_start += line.len();
        }
        Err(self.grammar("unexpected end of the file in a block"))
    }

    /// Text in quotes. Double quotes know escapes, single quotes do not.
    fn quoted(&mut self, quote: char) -> Result<String, ConfigFileError> {
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(self.grammar("unexpected end of the file in a text")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') if quote == '"' => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigFileError> {
        match self.bump() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some(c @ ('"' | '\\')) => Ok(c),
            Some('x') => {
                let digits = self.rest().get(..2).unwrap_or_default();
                let code = u8::from_str_radix(digits, 16);
                let code =
                    code.map_err(|_| self.grammar("\\x must be followed by two hex digits"))?;
                self.at += 2;
                Ok(char::from(code))
            }
            _ => Err(self.grammar("only \\xXX, \\t, \\n, \\r, \\\" and \\\\ are escapes")),
        }
    }

    /// A value without quotes: a boolean, a number, a variable or a text.
    fn bare(&mut self, scopes: &mut Scopes) -> Result<Value, ConfigFileError> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|c| !c.is_whitespace() && !",;]}".contains(c))
        {
            self.bump();
        }
        let word = &self.text[start..self.at];
        match word.strip_prefix('$') {
            Some(name) if !is_bcrypt(word) => self.variable(name, scopes),
            _ => Ok(bare_value(word)),
        }
    }

    /// A key of the maps around, or of the environment.
    fn variable(&self, name: &str, scopes: &mut Scopes) -> Result<Value, ConfigFileError> {
        let mut fields = scopes.iter_mut().rev().flatten();
        if let Some(field) = fields.find(|field| field.key == name) {
            field.is_variable = true;
            return Ok(field.entry.value.clone());
        }
        match std::env::var(name) {
            Ok(text) => Ok(bare_value(&text)),
            Err(_) => {
                let text = format!("variable reference for '{name}' can not be found");
                Err(self.place().error(text))
            }
        }
    }

    /// `include "file"`: its fields join those of the map it stands in.
    fn include(&mut self, scopes: &mut Scopes) -> Result<(), ConfigFileError> {
        self.skip_blanks();
        let place = self.place();
        let name = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => {
                let start = self.at;
                while self
                    .peek()
                    .is_some_and(|c| !c.is_whitespace() && !";,}".contains(c))
                {
                    self.bump();
                }
                self.text[start..self.at].to_owned()
            }
        };
        self.deeper()?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path: PathBuf = folder.join(name);
        let text = (self.read)(&path).map_err(|error| place.unread(&path, &error))?;
        Parser::new(&text, &path, self.read, self.depth).top_level(scopes)?;
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), ConfigFileError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.grammar(&format!("more than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
            self.bump();
        }
    }

    fn peek_behind_blanks(&self) -> Option<char> {
        self.rest().trim_start_matches([' ', '\t']).chars().next()
    }

    /// Skips white space and comments.
    fn skip_blank_lines(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with(char::is_whitespace) {
                self.bump();
            } else {
                return;
            }
        }
    }

    /// Skips what may stand between two fields or two members of a list.
    fn skip_separators(&mut self) {
        loop {
            self.skip_blank_lines();
            if !matches!(self.peek(), Some(',' | ';')) {
                return;
            }
            self.bump();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.bump();
        }
        is_there
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn place(&self) -> Place {
        Place::of(self.path, self.text, self.at)
    }

    fn grammar(&self, problem: &str) -> ConfigFileError {
        let place = self.place();
        let text = format!("Parse error on line {}: '{problem}'", place.line);
        place.error(text)
    }
}

/// A hashed password begins like a variable and is none.
fn is_bcrypt(word: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|start| word.starts_with(start))
}

fn bare_value(word: &str) -> Value {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return Value::Bool(true),
        "false" | "no" | "off" => return Value::Bool(false),
        _ => {}
    }
    if let Some(number) = sized(word) {
        return Value::Integer(number);
    }
    let looks_like_a_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    match word.parse() {
        Ok(number) if looks_like_a_number => Value::Float(number),
        _ => Value::Text(word.into()),
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
