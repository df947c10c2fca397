//! A schema's JSON into types. In: text, and named types that it may use. Out: types, or what is wrong, by JSON pointer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Field, Logical, Named, NamedBody, Shape, Type, default, full_name, primitive};
use crate::{Error, Result};

/// No schema nests deeper: what walks a schema is recursive.
const DEPTH_MAX: usize = 64;

/// A decimal's digits, past which no reader of ours has a type.
const PRECISION_MAX: u64 = 1 << 16;

type NamedTypes = BTreeMap<Arc<str>, Arc<Named>>;

struct Parser {
    named: NamedTypes,
    /// Types whose definition is not finished yet, which they themselves may use.
    open: BTreeSet<Arc<str>>,
    /// Checked at the end, when all types are known.
    defaults: Vec<(String, Type, Value)>,
}

pub(super) fn parse(text: &str, named: NamedTypes) -> Result<(Type, NamedTypes, Value)> {
    // A schema that is only a name is often given without its quotes.
    let bare = text.trim();
    let is_bare = !bare.is_empty()
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        && !matches!(bare, "null" | "true" | "false")
        && !bare.starts_with(|first: char| first.is_ascii_digit());
    let document = if is_bare || bare == "null" {
        Value::String(bare.to_owned())
    } else {
        serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("the schema is not JSON: {error}")))?
    };
    let mut parser = Parser {
        named,
        open: BTreeSet::new(),
        defaults: Vec::new(),
    };
    let root = parser.parse_type(&document, None, "", 0)?;
    for (path, of, value) in &parser.defaults {
        default::check(value, of, &parser.named).map_err(|error| error.within(&shown(path)))?;
    }
    Ok((root, parser.named, document))
}

impl Parser {
    fn parse_type(
        &mut self,
        from: &Value,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Type> {
        if depth > DEPTH_MAX {
            return Err(invalid(
                path,
                format!("types are nested deeper than {DEPTH_MAX}"),
            ));
        }
        match from {
            Value::String(name) => self.by_name(name, namespace, path),
            Value::Array(branches) => self.union(branches, namespace, path, depth),
            Value::Object(object) => self.object(object, namespace, path, depth),
            other => Err(invalid(
                path,
                format!("{other} is no type; write a name, a list or an object"),
            )),
        }
    }

    fn by_name(&self, name: &str, namespace: Option<&str>, path: &str) -> Result<Type> {
        if let Some(shape) = primitive(name) {
            return Ok(Type::plain(shape));
        }
        let full = full_name(name, namespace);
        // A name of the surrounding namespace comes first, then one without any.
        for candidate in [full.as_str(), name] {
            let known = self.named.get_key_value(candidate).map(|(name, _)| name);
            if let Some(known) = known.or_else(|| self.open.get(candidate)) {
                return Ok(Type {
                    shape: Shape::Named(Arc::clone(known)),
                    logical: None,
                });
            }
        }
        let known = self
            .named
            .keys()
            .chain(&self.open)
            .map(AsRef::as_ref)
            .chain([
                "null", "boolean", "int", "long", "float", "double", "bytes", "string", "record",
                "enum", "array", "map", "fixed",
            ]);
        let meant = weir_base::nearest::nearest(&full, known)
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default();
        Err(invalid(
            path,
            format!("type {full:?} is not defined{meant}"),
        ))
    }

    fn union(
        &mut self,
        branches: &[Value],
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Type> {
        let mut types: Vec<Type> = Vec::with_capacity(branches.len());
        let mut kinds = BTreeSet::new();
        for (at, branch) in branches.iter().enumerate() {
            let path = format!("{path}/{at}");
            let of = self.parse_type(branch, namespace, &path, depth + 1)?;
            if matches!(of.shape, Shape::Union(_)) {
                return Err(invalid(&path, "a union is directly in a union"));
            }
            // Of each kind of type without a name there is one at most, and of each name.
            let name = of.describe(|name| self.named.get(name).cloned());
            if !kinds.insert(name.clone()) {
                return Err(invalid(&path, format!("{name} is twice in the union")));
            }
            types.push(of);
        }
        Ok(Type::plain(Shape::Union(types)))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Type> {
        let of = object
            .get("type")
            .ok_or_else(|| invalid(path, "the attribute \"type\" is missing"))?;
        let Value::String(word) = of else {
            return self.parse_type(of, namespace, &format!("{path}/type"), depth + 1);
        };
        match word.as_str() {
            "record" | "error" | "enum" | "fixed" => {
                self.named_type(word, object, namespace, path, depth)
            }
            "array" => {
                let items = attribute(object, "items", path)?;
                let items =
                    self.parse_type(items, namespace, &format!("{path}/items"), depth + 1)?;
                Ok(Type::plain(Shape::Array(Box::new(items))))
            }
            "map" => {
                let values = attribute(object, "values", path)?;
                let values =
                    self.parse_type(values, namespace, &format!("{path}/values"), depth + 1)?;
                Ok(Type::plain(Shape::Map(Box::new(values))))
            }
            name => {
                let mut of = self.by_name(name, namespace, &format!("{path}/type"))?;
                if let Some(logical) = logical(object, &of.shape, None) {
                    of.logical = Some(logical);
                }
                Ok(of)
            }
        }
    }

    fn named_type(
        &mut self,
        word: &str,
        object: &Map<String, Value>,
        surrounding: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Type> {
        let given = text(object, "name", path)?
            .ok_or_else(|| invalid(path, format!("the {word} has no name")))?;
        let own = text(object, "namespace", path)?;
        let full = match own {
            Some(space) => full_name(given, Some(space)),
            None => full_name(given, surrounding),
        };
        check_full_name(&full, path)?;
        let name: Arc<str> = full.into();
        if primitive(&name).is_some() {
            return Err(invalid(
                path,
                format!("{name:?} is the name of a primitive type"),
            ));
        }
        if self.named.contains_key(&name) || !self.open.insert(Arc::clone(&name)) {
            return Err(invalid(path, format!("type {name:?} is defined twice")));
        }
        let namespace = name.rsplit_once('.').map(|(space, _)| space.to_owned());
        let namespace = namespace.as_deref();
        let aliases = texts(object, "aliases", path)?.unwrap_or_default();
        let aliases = aliases
            .into_iter()
            .map(|alias| full_name(alias, namespace))
            .collect();
        let mut of_fixed = None;
        let body = match word {
            "enum" => enumeration(object, path)?,
            "fixed" => {
                let size = attribute(object, "size", path)?;
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.filter(|size| *size <= i32::MAX as usize);
                let size = size.ok_or_else(|| {
                    invalid(&format!("{path}/size"), "the size is no number of bytes")
                })?;
                of_fixed = Some(size);
                NamedBody::Fixed(size)
            }
            _ => self.record(object, namespace, path, depth)?,
        };
        self.open.remove(&name);
        self.named.insert(
            Arc::clone(&name),
            Arc::new(Named {
                name: Arc::clone(&name),
                aliases,
                body,
            }),
        );
        let shape = Shape::Named(name);
        let logical = of_fixed.and_then(|size| logical(object, &shape, Some(size)));
        Ok(Type { shape, logical })
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<NamedBody> {
        let list = attribute(object, "fields", path)?;
        let list = list
            .as_array()
            .ok_or_else(|| invalid(&format!("{path}/fields"), "the fields are no list"))?;
        let mut fields: Vec<Field> = Vec::with_capacity(list.len());
        let mut names = BTreeSet::new();
        for (at, field) in list.iter().enumerate() {
            let path = format!("{path}/fields/{at}");
            let field = field
                .as_object()
                .ok_or_else(|| invalid(&path, "the field is no object"))?;
            let name = text(field, "name", &path)?
                .ok_or_else(|| invalid(&path, "the field has no name"))?;
            check_name(name, &path)?;
            if !names.insert(name.to_owned()) {
                return Err(invalid(&path, format!("field {name:?} is given twice")));
            }
            let of = attribute(field, "type", &path)?;
            let mut of = self.parse_type(of, namespace, &format!("{path}/type"), depth + 1)?;
            if of.logical.is_none()
                && let Some(logical) = logical(field, &of.shape, None)
            {
                // Written beside the type instead of in it, as many do; Java reads it so as well.
                of.logical = Some(logical);
            }
            if let Some(order) = text(field, "order", &path)?
                && !matches!(order, "ascending" | "descending" | "ignore")
            {
                return Err(invalid(
                    &format!("{path}/order"),
                    format!("order {order:?} is none of ascending, descending, ignore"),
                ));
            }
            let default = field.get("default").cloned();
            if let Some(value) = &default {
                self.defaults
                    .push((format!("{path}/default"), of.clone(), value.clone()));
            }
            let aliases = texts(field, "aliases", &path)?.unwrap_or_default();
            fields.push(Field {
                name: name.to_owned(),
                aliases: aliases.into_iter().map(str::to_owned).collect(),
                of,
                default,
            });
        }
        Ok(NamedBody::Record(fields))
    }
}

fn enumeration(object: &Map<String, Value>, path: &str) -> Result<NamedBody> {
    let symbols = texts(object, "symbols", path)?
        .ok_or_else(|| invalid(path, "the attribute \"symbols\" is missing"))?;
    let mut seen = BTreeSet::new();
    for symbol in &symbols {
        check_name(symbol, &format!("{path}/symbols"))?;
        if !seen.insert(*symbol) {
            return Err(invalid(
                &format!("{path}/symbols"),
                format!("symbol {symbol:?} is given twice"),
            ));
        }
    }
    let default = text(object, "default", path)?;
    if let Some(default) = default
        && !symbols.contains(&default)
    {
        return Err(invalid(
            &format!("{path}/default"),
            format!("{default:?} is none of the symbols"),
        ));
    }
    Ok(NamedBody::Enum {
        symbols: symbols.into_iter().map(str::to_owned).collect(),
        default: default.map(str::to_owned),
    })
}

/// The logical type that an object names, if it can be one of the type that it annotates.
fn logical(object: &Map<String, Value>, of: &Shape, fixed: Option<usize>) -> Option<Logical> {
    let name = object.get("logicalType")?.as_str()?;
    Some(match (name, of) {
        ("decimal", Shape::Bytes) => decimal(object, None)?,
        ("decimal", Shape::Named(_)) => decimal(object, Some(fixed?))?,
        ("uuid", Shape::String) => Logical::Uuid,
        ("uuid", Shape::Named(_)) if fixed == Some(16) => Logical::Uuid,
        ("duration", Shape::Named(_)) if fixed == Some(12) => Logical::Duration,
        ("date", Shape::Int) => Logical::Date,
        ("time-millis", Shape::Int) => Logical::TimeMillis,
        ("time-micros", Shape::Long) => Logical::TimeMicros,
        ("timestamp-millis", Shape::Long) => Logical::TimestampMillis,
        ("timestamp-micros", Shape::Long) => Logical::TimestampMicros,
        ("timestamp-nanos", Shape::Long) => Logical::TimestampNanos,
        ("local-timestamp-millis", Shape::Long) => Logical::LocalTimestampMillis,
        ("local-timestamp-micros", Shape::Long) => Logical::LocalTimestampMicros,
        ("local-timestamp-nanos", Shape::Long) => Logical::LocalTimestampNanos,
        _ => return None,
    })
}

fn decimal(object: &Map<String, Value>, fixed: Option<usize>) -> Option<Logical> {
    let precision = object.get("precision")?.as_u64()?;
    let scale = object.get("scale").map_or(Some(0), Value::as_u64)?;
    let digits_max = match fixed {
        // The digits of the largest number of so many bytes in two's complement.
        Some(bytes) => ((bytes as f64 * 8.0 - 1.0) * std::f64::consts::LOG10_2).floor() as u64,
        None => PRECISION_MAX,
    };
    if precision == 0 || precision > digits_max || scale > precision {
        return None;
    }
    Some(Logical::Decimal {
        precision: u32::try_from(precision).ok()?,
        scale: u32::try_from(scale).ok()?,
    })
}

fn attribute<'a>(object: &'a Map<String, Value>, name: &str, path: &str) -> Result<&'a Value> {
    object
        .get(name)
        .ok_or_else(|| invalid(path, format!("the attribute {name:?} is missing")))
}

fn text<'a>(object: &'a Map<String, Value>, name: &str, path: &str) -> Result<Option<&'a str>> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(
            &format!("{path}/{name}"),
            format!("the attribute {name:?} is no text"),
        )),
    }
}

fn texts<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<Vec<&'a str>>> {
    let Some(value) = object.get(name) else {
        return Ok(None);
    };
    let list = value
        .as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect());
    list.map(Some).ok_or_else(|| {
        invalid(
            &format!("{path}/{name}"),
            format!("the attribute {name:?} is no list of texts"),
        )
    })
}

fn check_full_name(name: &str, path: &str) -> Result<()> {
    name.split('.').try_for_each(|part| check_name(part, path))
}

fn check_name(name: &str, path: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if bytes.next().is_some_and(starts) && bytes.all(|byte| starts(byte) || byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(invalid(
        path,
        format!("{name:?} is no name: use A-Z, a-z, 0-9 and '_', not beginning with a digit"),
    ))
}

fn shown(path: &str) -> String {
    format!("at {}", if path.is_empty() { "/" } else { path })
}

fn invalid(path: &str, message: impl Into<String>) -> Error {
    Error::invalid(message).within(&shown(path))
}
