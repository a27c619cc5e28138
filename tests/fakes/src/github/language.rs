//! GraphQL as text: queries, and the schema language, read into the same tree of types and values.
//! Not understood, and refused: named fragments, directives, block strings, subscriptions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A place in the query, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) fn json(self) -> Value {
        json!([{ "line": self.line, "column": self.column }])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Mark(char),
    Spread,
    Number(String),
    Text(String),
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Variable(String),
    Enum(String),
    Plain(Value),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

/// A type as written: `[FileAddition!]!`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Named(String),
    List(Box<Type>),
    NonNull(Box<Type>),
}

impl Type {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    pub(super) fn nullable(&self) -> &Self {
        match self {
            Self::NonNull(inner) => inner,
            other => other,
        }
    }

    pub(super) fn is_required(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{name}"),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) arguments: Vec<(String, Literal)>,
    pub(super) selections: Vec<Selection>,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Selection {
    Field(Field),
    On(Option<String>, Vec<Selection>, Place),
}

#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) default: Option<Literal>,
    pub(super) place: Place,
}

/// One operation of a document.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: &'static str,
    pub(super) name: Option<String>,
    pub(super) variables: Vec<Variable>,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: Type,
    pub(super) default: Option<Literal>,
}

#[derive(Debug)]
pub(super) struct FieldDefinition {
    pub(super) kind: Type,
    pub(super) arguments: BTreeMap<String, Slot>,
}

#[derive(Debug)]
pub(super) enum Definition {
    /// An object type or an interface, with the interfaces it implements.
    Fields {
        fields: BTreeMap<String, FieldDefinition>,
        implements: Vec<String>,
        interface: bool,
    },
    Input(BTreeMap<String, Slot>),
    Enum(Vec<String>),
    Scalar,
}

pub(super) struct Reader {
    tokens: Vec<(Token, Place)>,
    at: usize,
}

pub(super) type Parsed<T> = Result<T, Value>;

impl Reader {
    pub(super) fn new(text: &str) -> Parsed<Self> {
        let mut tokens = Vec::new();
        let (mut line, mut start) = (1, 0);
        let all: Vec<char> = text.chars().collect();
        let mut at = 0;
        while let Some(&first) = all.get(at) {
            let place = Place { line, column: at - start + 1 };
            let run = |test: fn(char) -> bool| -> String { all[at..].iter().take_while(|next| test(**next)).collect() };
            let token = match first {
                '\n' => {
                    (line, start) = (line + 1, at + 1);
                    at += 1;
                    continue;
                }
                ' ' | '\t' | '\r' | ',' | '\u{feff}' => {
                    at += 1;
                    continue;
                }
                '#' => {
                    at += run(|next| next != '\n').chars().count();
                    continue;
                }
                '.' if all[at..].starts_with(&['.', '.', '.']) => {
                    at += 3;
                    Token::Spread
                }
                '"' => {
                    let (text, length) = Self::text(&all[at..]).ok_or_else(|| parse_error("\"", place))?;
                    at += length;
                    Token::Text(text)
                }
                '-' | '0'..='9' => {
                    let number = run(|next| next.is_ascii_digit() || "-+.eE".contains(next));
                    at += number.len();
                    Token::Number(number)
                }
                'a'..='z' | 'A'..='Z' | '_' => {
                    let name = run(|next| next.is_ascii_alphanumeric() || next == '_');
                    at += name.len();
                    Token::Name(name)
                }
                mark if "!$()[]{}:=&@|".contains(mark) => {
                    at += 1;
                    Token::Mark(mark)
                }
                other => return Err(parse_error(&other.to_string(), place)),
            };
            tokens.push((token, place));
        }
        tokens.push((Token::End, Place { line, column: at - start + 1 }));
        Ok(Self { tokens, at: 0 })
    }

    /// A quoted string and how many characters it takes.
    fn text(all: &[char]) -> Option<(String, usize)> {
        let mut end = 1;
        while *all.get(end)? != '"' {
            end += if all[end] == '\\' { 2 } else { 1 };
        }
        let quoted: String = all.get(..=end)?.iter().collect();
        // GraphQL escapes as JSON does, and like JSON forbids a raw line break.
        Some((serde_json::from_str(&quoted).ok()?, end + 1))
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn place(&self) -> Place {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn wrong<T>(&self) -> Parsed<T> {
        let token = match self.peek() {
            Token::Name(name) | Token::Number(name) | Token::Text(name) => name.clone(),
            Token::Mark(mark) => mark.to_string(),
            Token::Spread => "...".to_owned(),
            Token::End => "end of document".to_owned(),
        };
        Err(parse_error(&token, self.place()))
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = *self.peek() == Token::Mark(mark);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, mark: char) -> Parsed<()> {
        if self.eat(mark) { Ok(()) } else { self.wrong() }
    }

    fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Name(_) => {
                let Token::Name(name) = self.next() else { return self.wrong() };
                Ok(name)
            }
            _ => self.wrong(),
        }
    }

    pub(super) fn document(&mut self) -> Parsed<Vec<Operation>> {
        let mut operations = Vec::new();
        while *self.peek() != Token::End {
            let kind = match self.peek() {
                Token::Mark('{') => "query",
                Token::Name(word) if word == "query" => "query",
                Token::Name(word) if word == "mutation" => "mutation",
                _ => return self.wrong(),
            };
            let mut operation = Operation { kind, name: None, variables: Vec::new(), selections: Vec::new() };
            if matches!(self.peek(), Token::Name(_)) {
                self.next();
                if matches!(self.peek(), Token::Name(_)) {
                    operation.name = Some(self.name()?);
                }
                if self.eat('(') {
                    while !self.eat(')') {
                        operation.variables.push(self.variable()?);
                    }
                }
            }
            operation.selections = self.selections()?;
            operations.push(operation);
        }
        if operations.is_empty() { self.wrong() } else { Ok(operations) }
    }

    fn variable(&mut self) -> Parsed<Variable> {
        let place = self.place();
        self.expect('$')?;
        let name = self.name()?;
        self.expect(':')?;
        let kind = self.kind()?;
        let default = if self.eat('=') { Some(self.literal()?) } else { None };
        Ok(Variable { name, kind, default, place })
    }

    fn kind(&mut self) -> Parsed<Type> {
        let inner = if self.eat('[') {
            let inner = self.kind()?;
            self.expect(']')?;
            Type::List(Box::new(inner))
        } else {
            Type::Named(self.name()?)
        };
        Ok(if self.eat('!') { Type::NonNull(Box::new(inner)) } else { inner })
    }

    fn selections(&mut self) -> Parsed<Vec<Selection>> {
        self.expect('{')?;
        let mut selections = Vec::new();
        while !self.eat('}') {
            let place = self.place();
            if *self.peek() == Token::Spread {
                self.next();
                let on = match self.peek() {
                    Token::Name(word) if word == "on" => {
                        self.next();
                        Some(self.name()?)
                    }
                    _ => None,
                };
                selections.push(Selection::On(on, self.selections()?, place));
                continue;
            }
            let first = self.name()?;
            let (key, name) = if self.eat(':') { (first, self.name()?) } else { (first.clone(), first) };
            let mut arguments = Vec::new();
            if self.eat('(') {
                while !self.eat(')') {
                    let name = self.name()?;
                    self.expect(':')?;
                    arguments.push((name, self.literal()?));
                }
            }
            let selections_of = if *self.peek() == Token::Mark('{') { self.selections()? } else { Vec::new() };
            selections.push(Selection::Field(Field { key, name, arguments, selections: selections_of, place }));
        }
        if selections.is_empty() { self.wrong() } else { Ok(selections) }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        if self.eat('$') {
            return Ok(Literal::Variable(self.name()?));
        }
        if self.eat('[') {
            let mut items = Vec::new();
            while !self.eat(']') {
                items.push(self.literal()?);
            }
            return Ok(Literal::List(items));
        }
        if self.eat('{') {
            let mut fields = Vec::new();
            while !self.eat('}') {
                let name = self.name()?;
                self.expect(':')?;
                fields.push((name, self.literal()?));
            }
            return Ok(Literal::Object(fields));
        }
        let literal = match self.peek() {
            Token::Text(text) => Literal::Plain(json!(text)),
            Token::Number(number) => match serde_json::from_str::<serde_json::Number>(number) {
                Ok(number) => Literal::Plain(Value::Number(number)),
                Err(_) => return self.wrong(),
            },
            Token::Name(word) => match word.as_str() {
                "true" => Literal::Plain(json!(true)),
                "false" => Literal::Plain(json!(false)),
                "null" => Literal::Plain(Value::Null),
                word => Literal::Enum(word.to_owned()),
            },
            _ => return self.wrong(),
        };
        self.next();
        Ok(literal)
    }

    fn slots(&mut self, end: char) -> Parsed<BTreeMap<String, Slot>> {
        let mut slots = BTreeMap::new();
        while !self.eat(end) {
            let name = self.name()?;
            self.expect(':')?;
            let kind = self.kind()?;
            let default = if self.eat('=') { Some(self.literal()?) } else { None };
            slots.insert(name, Slot { kind, default });
        }
        Ok(slots)
    }

    pub(super) fn definition(&mut self) -> Parsed<(String, Definition)> {
        let word = self.name()?;
        let name = self.name()?;
        let definition = match word.as_str() {
            "scalar" => Definition::Scalar,
            "enum" => {
                self.expect('{')?;
                let mut words = Vec::new();
                while !self.eat('}') {
                    words.push(self.name()?);
                }
                Definition::Enum(words)
            }
            "input" => {
                self.expect('{')?;
                Definition::Input(self.slots('}')?)
            }
            "type" | "interface" => {
                let mut implements = Vec::new();
                if *self.peek() == Token::Name("implements".to_owned()) {
                    self.next();
                    implements.push(self.name()?);
                    while self.eat('&') {
                        implements.push(self.name()?);
                    }
                }
                self.expect('{')?;
                let mut fields = BTreeMap::new();
                while !self.eat('}') {
                    let name = self.name()?;
                    let arguments = if self.eat('(') { self.slots(')')? } else { BTreeMap::new() };
                    self.expect(':')?;
                    fields.insert(name, FieldDefinition { kind: self.kind()?, arguments });
                }
                Definition::Fields { fields, implements, interface: word == "interface" }
            }
            _ => return self.wrong(),
        };
        Ok((name, definition))
    }
}

pub(super) fn parse_error(token: &str, place: Place) -> Value {
    let message = format!("Parse error on {token:?} at [{}, {}]", place.line, place.column);
    json!({ "message": message, "locations": place.json() })
}
