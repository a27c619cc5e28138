//! A small GraphQL executor: it checks a query against a schema and walks it. It knows nothing of GitHub.
//! The point is the check: a field, argument, type or variable that the schema does not have is refused as GitHub
//! refuses it (HTTP 200, `errors`, no `data`), so that a wrong query fails loudly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::language::{
    Definition, Field, FieldDefinition, Literal, Operation, Place, Reader, Selection, Slot, Token, Type, Variable,
};

/// Arguments of a field, variables filled in and checked.
pub(super) type Arguments = Map<String, Value>;

/// The types that a query is checked against.
#[derive(Debug)]
pub(super) struct Schema {
    types: BTreeMap<String, Definition>,
}

/// Whether the text has a mutation of that name (an unreadable text has none).
pub(super) fn has_mutation(query: &str, field: &str) -> bool {
    let operations = Reader::new(query).and_then(|mut reader| reader.document()).unwrap_or_default();
    let is_it = |selection: &Selection| matches!(selection, Selection::Field(found) if found.name == field);
    operations.iter().any(|operation| operation.kind == "mutation" && operation.selections.iter().any(is_it))
}

// ---- Checking ----

/// Collects what is wrong with an operation.
struct Check<'a> {
    schema: &'a Schema,
    operation: &'a Operation,
    used: BTreeSet<String>,
    errors: Vec<Value>,
}

impl Check<'_> {
    fn refuse(&mut self, code: &str, message: String, path: &[String], place: Place, more: Value) {
        let mut extensions = json!({ "code": code });
        if let (Some(extensions), Value::Object(more)) = (extensions.as_object_mut(), more) {
            extensions.extend(more);
        }
        self.errors
            .push(json!({ "path": path, "extensions": extensions, "locations": place.json(), "message": message }));
    }

    fn selections(&mut self, type_name: &str, selections: &[Selection], path: &[String]) {
        let mut seen: BTreeMap<&str, &Field> = BTreeMap::new();
        self.level(type_name, selections, path, &mut seen);
    }

    fn level<'q>(
        &mut self,
        on: &str,
        selections: &'q [Selection],
        path: &[String],
        seen: &mut BTreeMap<&'q str, &'q Field>,
    ) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    if let Some(first) = seen.insert(&field.key, field)
                        && (first.name != field.name || first.arguments != field.arguments)
                    {
                        let message =
                            format!("Field '{}' has an argument conflict or stands for two fields", field.key);
                        self.refuse("fieldConflict", message, path, field.place, json!({ "fieldName": field.key }));
                    }
                    self.field(on, field, path);
                }
                Selection::On(condition, inner, place) => {
                    let condition = condition.as_deref().unwrap_or(on);
                    let path = [path, &[format!("... on {condition}")]].concat();
                    if !matches!(self.schema.types.get(condition), Some(Definition::Fields { .. })) {
                        let message = format!("No such type {condition}, so it can't be a fragment condition");
                        self.refuse("undefinedType", message, &path, *place, json!({ "typeName": condition }));
                    } else if !self.schema.overlap(on, condition) {
                        let message = format!("Fragment on {condition} can't be spread inside {on}");
                        let more = json!({ "typeName": condition, "fragmentName": "unknown", "parentName": on });
                        self.refuse("cannotSpreadFragment", message, &path, *place, more);
                    } else {
                        self.level(condition, inner, &path, seen);
                    }
                }
            }
        }
    }

    fn field(&mut self, on: &str, field: &Field, path: &[String]) {
        let path = [path, std::slice::from_ref(&field.key)].concat();
        if field.name == "__typename" {
            return;
        }
        let Some(definition) = self.schema.field(on, &field.name) else {
            let message = format!("Field '{}' doesn't exist on type '{on}'", field.name);
            return self.refuse(
                "undefinedField",
                message,
                &path,
                field.place,
                json!({ "typeName": on, "fieldName": field.name }),
            );
        };
        for (name, literal) in &field.arguments {
            match definition.arguments.get(name) {
                Some(slot) => self.argument(field, name, slot, literal, &path),
                None => {
                    let message = format!("Field '{}' doesn't accept argument '{name}'", field.name);
                    let more = json!({ "name": field.name, "typeName": "Field", "argumentName": name });
                    self.refuse("argumentNotAccepted", message, &path, field.place, more);
                }
            }
        }
        let given = |name: &String| field.arguments.iter().any(|(given, _)| given == name);
        let is_missing =
            |(name, slot): &(&String, &Slot)| slot.kind.is_required() && slot.default.is_none() && !given(name);
        let missing: Vec<_> = definition.arguments.iter().filter(is_missing).map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            let message = format!("Field '{}' is missing required arguments: {}", field.name, missing.join(", "));
            let more = json!({ "className": "Field", "name": field.name, "arguments": missing.join(", ") });
            self.refuse("missingRequiredArguments", message, &path, field.place, more);
        }
        let target = definition.kind.name();
        let has_fields = matches!(self.schema.types.get(target), Some(Definition::Fields { .. }));
        if has_fields && field.selections.is_empty() {
            let name = &field.name;
            let message = format!(
                "Field must have selections (field '{name}' returns {target} but has no selections. Did you mean '{name} {{ ... }}'?)"
            );
            self.refuse(
                "selectionMismatch",
                message,
                &path,
                field.place,
                json!({ "nodeName": format!("field '{name}'") }),
            );
        } else if !has_fields && !field.selections.is_empty() {
            let message = format!(
                "Selections can't be made on scalars (field '{}' returns {target} but has selections)",
                field.name
            );
            self.refuse("selectionMismatch", message, &path, field.place, json!({ "typeName": target }));
        } else if has_fields {
            self.selections(target, &field.selections, &path);
        }
    }

    fn argument(&mut self, field: &Field, name: &str, slot: &Slot, literal: &Literal, path: &[String]) {
        if let Err(why) = self.literal(&slot.kind, slot.default.is_some(), literal) {
            let (code, message) = match why {
                Wrong::Literal => {
                    let text = format!(
                        "Argument '{name}' on Field '{}' has an invalid value. Expected type '{}'.",
                        field.name, slot.kind
                    );
                    ("argumentLiteralsIncompatible", text)
                }
                Wrong::Unknown(variable) => (
                    "variableNotDefined",
                    format!("Variable ${variable} is used by {} but not declared", self.called()),
                ),
                Wrong::Mismatch(variable, has, wants) => (
                    "variableMismatch",
                    format!("Type mismatch on variable ${variable} and argument {name} ({has} / {wants})"),
                ),
            };
            self.refuse(code, message, path, field.place, json!({ "argumentName": name }));
        }
    }

    fn called(&self) -> String {
        self.operation.name.clone().unwrap_or_else(|| format!("anonymous {}", self.operation.kind))
    }

    fn literal(&mut self, kind: &Type, has_default: bool, literal: &Literal) -> Result<(), Wrong> {
        match literal {
            Literal::Variable(name) => {
                self.used.insert(name.clone());
                let Some(variable) = self.operation.variables.iter().find(|variable| variable.name == *name) else {
                    return Err(Wrong::Unknown(name.clone()));
                };
                let wanted = if has_default || variable.default.is_some() { kind.nullable() } else { kind };
                if fits(&variable.kind, wanted) {
                    Ok(())
                } else {
                    Err(Wrong::Mismatch(name.clone(), variable.kind.to_string(), kind.to_string()))
                }
            }
            Literal::Plain(Value::Null) => {
                if kind.is_required() {
                    Err(Wrong::Literal)
                } else {
                    Ok(())
                }
            }
            Literal::List(items) => match kind.nullable() {
                Type::List(inner) => items.iter().try_for_each(|item| self.literal(inner, false, item)),
                _ => Err(Wrong::Literal),
            },
            Literal::Object(fields) => {
                let Some(Definition::Input(slots)) = self.schema.types.get(kind.name()) else {
                    return Err(Wrong::Literal);
                };
                for (name, field) in fields {
                    let slot = slots.get(name).ok_or(Wrong::Literal)?;
                    self.literal(&slot.kind, slot.default.is_some(), field)?;
                }
                let missing = |(name, slot): (&String, &Slot)| {
                    slot.kind.is_required() && slot.default.is_none() && !fields.iter().any(|(given, _)| given == name)
                };
                if slots.iter().any(missing) { Err(Wrong::Literal) } else { Ok(()) }
            }
            Literal::Enum(word) => match self.schema.types.get(kind.name()) {
                Some(Definition::Enum(words)) if words.contains(word) => Ok(()),
                _ => Err(Wrong::Literal),
            },
            Literal::Plain(value) => match self.schema.types.get(kind.name()) {
                Some(Definition::Scalar) if scalar(kind.name(), value).is_ok() => Ok(()),
                _ => Err(Wrong::Literal),
            },
        }
    }
}

enum Wrong {
    Literal,
    Unknown(String),
    Mismatch(String, String, String),
}

/// Whether a variable of the first type may be used where the second is wanted.
fn fits(has: &Type, wanted: &Type) -> bool {
    match (has, wanted) {
        (Type::NonNull(has), Type::NonNull(wanted)) => fits(has, wanted),
        (Type::NonNull(has), wanted) => fits(has, wanted),
        (Type::List(has), Type::List(wanted)) => fits(has, wanted),
        (Type::Named(has), Type::Named(wanted)) => has == wanted,
        _ => false,
    }
}

/// Whether a value is one of that scalar type; the explanation is GitHub's.
fn scalar(name: &str, value: &Value) -> Result<(), String> {
    let is_good = match name {
        "Int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "Float" => value.is_number(),
        "Boolean" => value.is_boolean(),
        "ID" => value.is_string() || value.is_i64(),
        "GitObjectID" => {
            value.as_str().is_some_and(|text| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        }
        "GitTimestamp" | "DateTime" => value.as_str().and_then(super::git::from_rfc3339).is_some(),
        "Base64String" => value.as_str().is_some_and(|text| super::decode_base64(text).is_some()),
        _ => value.is_string(),
    };
    if is_good { Ok(()) } else { Err(format!("Could not coerce value {value} to {name}")) }
}

impl Schema {
    /// Reads a schema; `None` when it cannot be read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader::new(text).ok()?;
        let mut types = BTreeMap::new();
        while *reader.peek() != Token::End {
            let (name, definition) = reader.definition().ok()?;
            types.insert(name, definition);
        }
        for name in ["String", "Int", "Float", "Boolean", "ID"] {
            types.insert(name.to_owned(), Definition::Scalar);
        }
        Some(Self { types })
    }

    fn field(&self, on: &str, name: &str) -> Option<&FieldDefinition> {
        match self.types.get(on)? {
            Definition::Fields { fields, .. } => fields.get(name),
            _ => None,
        }
    }

    /// Whether an object of type `object` is also a `name`.
    fn is(&self, object: &str, name: &str) -> bool {
        let implements = match self.types.get(object) {
            Some(Definition::Fields { implements, .. }) => implements.iter().any(|interface| interface == name),
            _ => false,
        };
        object == name || implements
    }

    fn overlap(&self, one: &str, other: &str) -> bool {
        let is_object = |definition: &Definition| matches!(definition, Definition::Fields { interface: false, .. });
        let mut objects = self.types.iter().filter(|(_, definition)| is_object(definition));
        objects.any(|(name, _)| self.is(name, one) && self.is(name, other))
    }

    /// A value that came as JSON, with defaults filled in, or where and why it is wrong.
    fn coerce(&self, kind: &Type, value: &Value) -> Result<Value, (Vec<String>, String)> {
        let here = |why: &str| (Vec::new(), why.to_owned());
        match kind {
            Type::NonNull(_) if value.is_null() => Err(here("Expected value to not be null")),
            Type::NonNull(inner) => self.coerce(inner, value),
            _ if value.is_null() => Ok(Value::Null),
            Type::List(inner) => {
                let Value::Array(items) = value else { return Ok(json!([self.coerce(inner, value)?])) };
                let mut coerced = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    coerced.push(
                        self.coerce(inner, item).map_err(|(path, why)| ([vec![at.to_string()], path].concat(), why))?,
                    );
                }
                Ok(Value::Array(coerced))
            }
            Type::Named(name) => match self.types.get(name) {
                Some(Definition::Scalar) => scalar(name, value).map(|()| value.clone()).map_err(|why| here(&why)),
                Some(Definition::Enum(words)) => match value.as_str() {
                    Some(word) if words.iter().any(|known| known == word) => Ok(value.clone()),
                    _ => Err(here(&format!("Expected {value} to be one of: {}", words.join(", ")))),
                },
                Some(Definition::Input(slots)) => self.coerce_input(name, slots, value),
                _ => Err(here(&format!("{name} isn't a defined input type"))),
            },
        }
    }

    fn coerce_input(
        &self,
        name: &str,
        slots: &BTreeMap<String, Slot>,
        value: &Value,
    ) -> Result<Value, (Vec<String>, String)> {
        let Value::Object(given) = value else {
            return Err((Vec::new(), format!("Expected {value} to be a key-value object")));
        };
        if let Some(unknown) = given.keys().find(|key| !slots.contains_key(*key)) {
            return Err((vec![unknown.clone()], format!("Field is not defined on {name}")));
        }
        let mut coerced = Map::new();
        for (key, slot) in slots {
            match given.get(key) {
                None if slot.default.is_some() || !slot.kind.is_required() => {}
                field => {
                    let field = self.coerce(&slot.kind, field.unwrap_or(&Value::Null));
                    coerced
                        .insert(key.clone(), field.map_err(|(path, why)| ([vec![key.clone()], path].concat(), why))?);
                }
            }
        }
        Ok(Value::Object(coerced))
    }

    fn variables(&self, operation: &Operation, given: &Map<String, Value>) -> Result<Map<String, Value>, Value> {
        let mut variables = Map::new();
        for Variable { name, kind, default, place } in &operation.variables {
            let value = match (given.get(name), default) {
                (None, Some(default)) => fill(default, &Map::new()).unwrap_or_default(),
                (None, None) if !kind.is_required() => continue,
                (value, _) => value.cloned().unwrap_or_default(),
            };
            let coerced = self.coerce(kind, &value).map_err(|(path, why)| {
                let mut message = format!("Variable ${name} of type {kind} was provided invalid value");
                if !path.is_empty() {
                    message += &format!(" for {} ({why})", path.join("."));
                }
                let problems = json!([{ "path": path, "explanation": why }]);
                json!({ "extensions": { "value": value, "problems": problems }, "locations": place.json(), "message": message })
            })?;
            variables.insert(name.clone(), coerced);
        }
        Ok(variables)
    }
}

/// A literal with its variables filled in; `None` when it is a variable that was not given.
fn fill(literal: &Literal, variables: &Map<String, Value>) -> Option<Value> {
    Some(match literal {
        Literal::Variable(name) => variables.get(name)?.clone(),
        Literal::Enum(word) => json!(word),
        Literal::Plain(value) => value.clone(),
        Literal::List(items) => {
            Value::Array(items.iter().map(|item| fill(item, variables).unwrap_or_default()).collect())
        }
        Literal::Object(fields) => Value::Object(
            fields.iter().filter_map(|(name, field)| Some((name.clone(), fill(field, variables)?))).collect(),
        ),
    })
}

// ---- Walking ----

/// What a field turned out to be.
pub(super) enum Resolved<N> {
    /// A scalar, or null.
    Leaf(Value),
    /// An object.
    Node(N),
    /// A list of objects.
    Nodes(Vec<N>),
}

/// A field that could not be had: the type and the message of GitHub's error.
pub(super) struct FieldError {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

/// Knows the objects behind a schema.
pub(super) trait Objects {
    /// Names one object.
    type Node: Clone;

    /// The name of its type.
    fn type_of(&self, node: &Self::Node) -> &'static str;

    /// One of its fields.
    fn resolve(
        &mut self,
        node: &Self::Node,
        field: &str,
        arguments: &Arguments,
    ) -> Result<Resolved<Self::Node>, FieldError>;
}

struct Walk<'a, O: Objects> {
    schema: &'a Schema,
    objects: &'a mut O,
    variables: Map<String, Value>,
    errors: Vec<Value>,
}

impl<O: Objects> Walk<'_, O> {
    /// The fields of an object; `None` when a field that may not be null is missing, so that the object is null too.
    fn object(&mut self, node: &O::Node, selections: &[Selection], path: &[Value]) -> Option<Value> {
        let type_name = self.objects.type_of(node);
        let mut fields: Vec<Field> = Vec::new();
        self.collect(type_name, selections, &mut fields);
        let mut object = Map::new();
        for field in fields {
            let path = [path, &[json!(field.key)]].concat();
            object.insert(field.key.clone(), self.field(type_name, node, &field, &path)?);
        }
        Some(Value::Object(object))
    }

    fn collect(&self, type_name: &str, selections: &[Selection], into: &mut Vec<Field>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => match into.iter_mut().find(|known| known.key == field.key) {
                    Some(known) => known.selections.extend(field.selections.iter().cloned()),
                    None => into.push(field.clone()),
                },
                Selection::On(on, inner, _) => {
                    if on.as_ref().is_none_or(|on| self.schema.is(type_name, on)) {
                        self.collect(type_name, inner, into);
                    }
                }
            }
        }
    }

    fn field(&mut self, type_name: &str, node: &O::Node, field: &Field, path: &[Value]) -> Option<Value> {
        if field.name == "__typename" {
            return Some(json!(type_name));
        }
        let definition = self.schema.field(type_name, &field.name)?;
        let mut arguments = Arguments::new();
        for (name, slot) in &definition.arguments {
            let given = field.arguments.iter().find(|(given, _)| given == name);
            let value = given.and_then(|(_, literal)| fill(literal, &self.variables));
            let value = value.or_else(|| fill(slot.default.as_ref()?, &self.variables));
            arguments.extend(value.map(|value| (name.clone(), value)));
        }
        let value = match self.objects.resolve(node, &field.name, &arguments) {
            Ok(Resolved::Leaf(Value::Null)) if definition.kind.is_required() => {
                let message = format!("Cannot return null for non-nullable field {type_name}.{}", field.name);
                self.errors.push(json!({ "message": message, "path": path }));
                None
            }
            Ok(Resolved::Leaf(value)) => Some(value),
            Ok(Resolved::Node(child)) => self.object(&child, &field.selections, path),
            Ok(Resolved::Nodes(children)) => {
                let item = |(at, child): (usize, &O::Node)| {
                    let path = [path, &[json!(at)]].concat();
                    self.object(child, &field.selections, &path).unwrap_or_default()
                };
                Some(children.iter().enumerate().map(item).collect())
            }
            Err(FieldError { kind, message }) => {
                self.errors
                    .push(json!({ "type": kind, "path": path, "locations": field.place.json(), "message": message }));
                None
            }
        };
        match value {
            None | Some(Value::Null) if definition.kind.is_required() => None,
            value => Some(value.unwrap_or_default()),
        }
    }
}

/// Answers the body of a GraphQL request: `{"query", "variables", "operationName"}`.
pub(super) fn execute<O: Objects>(
    schema: &Schema,
    body: &Value,
    objects: &mut O,
    query: &O::Node,
    mutation: &O::Node,
) -> Value {
    let refused = |errors: Vec<Value>| json!({ "errors": errors });
    let text = body["query"].as_str().unwrap_or_default();
    let operations = match Reader::new(text).and_then(|mut reader| reader.document()) {
        Ok(operations) => operations,
        Err(error) => return refused(vec![error]),
    };
    let wanted = body["operationName"].as_str();
    let operation = match wanted {
        Some(name) => operations.iter().find(|operation| operation.name.as_deref() == Some(name)),
        None if operations.len() == 1 => operations.first(),
        None => None,
    };
    let Some(operation) = operation else {
        let message = match wanted {
            Some(name) => format!("No operation named {name:?}"),
            None => "An operation name is required".to_owned(),
        };
        return refused(vec![json!({ "message": message })]);
    };

    let (type_name, root) = if operation.kind == "mutation" { ("Mutation", mutation) } else { ("Query", query) };
    let path = match &operation.name {
        Some(name) => format!("{} {name}", operation.kind),
        None => operation.kind.to_owned(),
    };
    let mut check = Check { schema, operation, used: BTreeSet::new(), errors: Vec::new() };
    check.selections(type_name, &operation.selections, std::slice::from_ref(&path));
    for variable in &operation.variables {
        let name = &variable.name;
        if !schema.types.contains_key(variable.kind.name()) {
            let message = format!("{} isn't a defined input type (on ${name})", variable.kind.name());
            check.refuse(
                "variableRequiresValidType",
                message,
                std::slice::from_ref(&path),
                variable.place,
                json!({ "variableName": name }),
            );
        } else if !check.used.contains(name) {
            let message = format!("Variable ${name} is declared by {} but not used", check.called());
            check.refuse(
                "variableNotUsed",
                message,
                std::slice::from_ref(&path),
                variable.place,
                json!({ "variableName": name }),
            );
        }
    }
    if !check.errors.is_empty() {
        return refused(check.errors);
    }
    let nothing = Map::new();
    let variables = match schema.variables(operation, body["variables"].as_object().unwrap_or(&nothing)) {
        Ok(variables) => variables,
        Err(error) => return refused(vec![error]),
    };

    let mut walk = Walk { schema, objects, variables, errors: Vec::new() };
    let data = walk.object(root, &operation.selections, &[]).unwrap_or_default();
    if walk.errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": walk.errors }) }
}

#[cfg(test)]
impl Schema {
    /// A selection of every field of a type, so deep; arguments that must be there come from `argument`.
    pub(super) fn everything(&self, type_name: &str, depth: usize, argument: &dyn Fn(&str, &str) -> String) -> String {
        let mut text = "{ __typename".to_owned();
        let Some(Definition::Fields { fields, interface, .. }) = self.types.get(type_name) else {
            return String::new();
        };
        for (name, definition) in fields {
            let is_object = matches!(self.types.get(definition.kind.name()), Some(Definition::Fields { .. }));
            if is_object && depth == 0 {
                continue;
            }
            let inner =
                if is_object { self.everything(definition.kind.name(), depth - 1, argument) } else { String::new() };
            // Different parents give one name different types, so each gets a name of its own.
            text += &format!(" {type_name}_{name}: {name}{} {inner}", argument(type_name, name));
        }
        if *interface {
            for name in self.types.keys().filter(|name| *name != type_name && self.is(name, type_name)) {
                text += &format!(" ... on {name} {}", self.everything(name, depth, argument));
            }
        }
        text + " }"
    }
}
