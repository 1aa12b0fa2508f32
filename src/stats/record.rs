//! One object's statistics: a value a column.

use std::io::Write;

use super::column::{COLUMNS, Column, FIRST_OF_MODULES, Type};

/// What a record is about; the number is that of the `type` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client side of a proxy.
    Frontend = 0,
    /// The server side of a proxy.
    Backend = 1,
    /// A server.
    Server = 2,
    /// A listening address.
    Listener = 3,
}

/// What a column holds for an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the column does not apply.
    #[default]
    Empty,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// What somebody else said, in octets that need not be UTF-8.
    Octets(Vec<u8>),
}

/// All columns of one object.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    values: Vec<Value>,
}

impl Kind {
    /// Its letter in the typed form.
    pub fn letter(self) -> char {
        match self {
            Kind::Frontend => 'F',
            Kind::Backend => 'B',
            Kind::Server => 'S',
            Kind::Listener => 'L',
        }
    }

    /// Its name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Frontend => "Frontend",
            Kind::Backend => "Backend",
            Kind::Server => "Server",
            Kind::Listener => "Listener",
        }
    }
}

impl Record {
    /// A record with nothing but its kind in it.
    pub fn new(kind: Kind) -> Record {
        let mut record = Record { kind, values: vec![Value::Empty; COLUMNS.len()] };
        record.number(Column::Type, kind as u64);
        record
    }

    /// Sets a number.
    pub fn number(&mut self, column: Column, value: u64) {
        self.values[column as usize] = Value::Number(value.min(i64::MAX as u64) as i64);
    }

    /// Sets a number that may be below zero.
    pub fn signed(&mut self, column: Column, value: i64) {
        self.values[column as usize] = Value::Number(value);
    }

    /// Sets several columns to zero.
    pub fn zeros(&mut self, columns: &[Column]) {
        for &column in columns {
            self.number(column, 0);
        }
    }

    /// Sets a text; an empty one leaves the column empty.
    pub fn text(&mut self, column: Column, text: impl Into<String>) {
        let text = text.into();
        self.values[column as usize] = if text.is_empty() { Value::Empty } else { Value::Text(text) };
    }

    /// Sets octets; none leave the column empty.
    pub fn octets(&mut self, column: Column, octets: &[u8]) {
        let value = if octets.is_empty() { Value::Empty } else { Value::Octets(octets.to_vec()) };
        self.values[column as usize] = value;
    }

    /// A column.
    pub fn get(&self, column: Column) -> &Value {
        &self.values[column as usize]
    }

    /// What stands in the column of this number.
    pub fn at(&self, column: usize) -> &Value {
        &self.values[column]
    }

    /// A number, zero where there is none.
    pub fn get_number(&self, column: Column) -> i64 {
        match self.get(column) {
            Value::Number(number) => *number,
            _ => 0,
        }
    }

    /// A text, empty where there is none.
    pub fn get_text(&self, column: Column) -> &str {
        match self.get(column) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// Octets or a text, empty where there is neither.
    pub fn get_octets(&self, column: Column) -> &[u8] {
        match self.get(column) {
            Value::Octets(octets) => octets,
            _ => self.get_text(column).as_bytes(),
        }
    }

    /// Columns that hold something, with their number.
    pub fn filled(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.values.iter().enumerate().filter(|(_, value)| **value != Value::Empty)
    }

    /// Appends the record as a line of CSV.
    pub fn write_csv(&self, out: &mut Vec<u8>) {
        for (index, value) in self.values.iter().enumerate() {
            if index == FIRST_OF_MODULES {
                out.extend_from_slice(b"-,");
            }
            match value {
                Value::Empty => {}
                Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Value::Text(text) => write_quoted(text.as_bytes(), out),
                Value::Octets(octets) => write_quoted(octets, out),
            }
            out.push(b',');
        }
        out.push(b'\n');
    }

    /// Appends the record in the typed form, a line a column (management manual 9.2).
    pub fn write_typed(&self, out: &mut Vec<u8>) {
        let (iid, sid) = (self.get_number(Column::Iid), self.get_number(Column::Sid));
        for (index, value) in self.filled() {
            let (name, _, kind) = COLUMNS[index];
            let tag = Column::tag(index, self.kind == Kind::Backend);
            let letter = self.kind.letter();
            // Writes into memory do not fail.
            let _ = write!(out, "{letter}.{iid}.{sid}.{index}.{name}.1:{tag}:{}:", kind.name());
            match value {
                Value::Text(text) => out.extend_from_slice(text.as_bytes()),
                Value::Octets(octets) => out.extend_from_slice(octets),
                Value::Number(number) => _ = write!(out, "{number}"),
                Value::Empty => {}
            }
            out.push(b'\n');
        }
    }

    /// Appends the record as a JSON array of its columns.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        let (iid, sid) = (self.get_number(Column::Iid), self.get_number(Column::Sid));
        for (at, (index, value)) in self.filled().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let (name, _, kind) = COLUMNS[index];
            let tag = Column::tag(index, self.kind == Kind::Backend);
            let object = format!(
                "{{\"objType\":\"{}\",\"proxyId\":{iid},\"id\":{sid},\"field\":{{\"pos\":{index},\"name\":\"{name}\"}},",
                self.kind.name()
            );
            out.extend_from_slice(object.as_bytes());
            write_json_value(tag, kind, value, out);
        }
        out.push(b']');
    }
}

/// Appends `"processNum":…,"tags":…,"value":…}`, which ends the object of one field.
pub fn write_json_value(tag: &str, kind: Type, value: &Value, out: &mut Vec<u8>) {
    let mut letters = tag.chars();
    let mut word = |words: &[(char, &'static str)]| {
        let letter = letters.next();
        words.iter().find(|(known, _)| Some(*known) == letter).map_or("", |(_, word)| word)
    };
    let origin = word(&[('M', "Metric"), ('S', "Status"), ('K', "Key"), ('C', "Config"), ('P', "Product")]);
    let nature = word(&[
        ('G', "Gauge"),
        ('L', "Limit"),
        ('M', "Max"),
        ('R', "Rate"),
        ('C', "Counter"),
        ('D', "Duration"),
        ('A', "Age"),
        ('a', "Avg"),
        ('N', "Name"),
        ('O', "Output"),
    ]);
    let scope = word(&[('S', "Service"), ('P', "Process")]);
    let head = format!(
        "\"processNum\":1,\"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\
         \"value\":{{\"type\":\"{}\",\"value\":",
        kind.name()
    );
    out.extend_from_slice(head.as_bytes());
    match value {
        Value::Text(digits) if kind == Type::U64 => out.extend_from_slice(digits.as_bytes()),
        Value::Text(text) => write_json_text(text.as_bytes(), out),
        Value::Octets(octets) => write_json_text(octets, out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Empty => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}}");
}

/// A text in quotes (RFC 8259 7). Octets that are no UTF-8 stay what they are, as in HAProxy: only readers can know what
/// letters the server meant.
fn write_json_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', octet]),
            // Writes into memory do not fail.
            0..b' ' => _ = write!(out, "\\u{octet:04x}"),
            _ => out.push(octet),
        }
    }
    out.push(b'"');
}

/// Appends all records as one JSON array of arrays.
pub fn write_json_records<'a>(records: impl Iterator<Item = &'a Record>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, record) in records.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        record.write_json(out);
    }
    out.extend_from_slice(b"]\n");
}

/// Appends the names of all columns as the first line of CSV.
pub fn write_csv_header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"# ");
    for (index, (name, ..)) in COLUMNS.iter().enumerate() {
        if index == FIRST_OF_MODULES {
            out.extend_from_slice(b"-,");
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b',');
    }
    out.push(b'\n');
}

/// A text with quotes, commas or line ends is put in quotes (RFC 4180).
fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|octet| b"\",\n\r".contains(octet)) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &octet in text {
        if octet == b'"' {
            out.push(b'"');
        }
        out.push(octet);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_csv_has_a_comma_after_each_column() {
        let mut record = Record::new(Kind::Server);
        record.text(Column::Pxname, "be");
        record.text(Column::LastChk, "said \"no\", twice");
        record.signed(Column::Lastsess, -1);
        let mut line = Vec::new();
        record.write_csv(&mut line);
        let line = String::from_utf8(line).expect("text");
        assert!(line.starts_with("be,,,"), "{line}");
        assert!(line.contains(",-1,\"said \"\"no\"\", twice\",,"), "{line}");
        assert_eq!(line.matches(',').count(), COLUMNS.len() + 2);
    }

    #[test]
    fn the_typed_form_names_object_and_column() {
        let mut record = Record::new(Kind::Backend);
        record.number(Column::Iid, 4);
        record.number(Column::Sid, 0);
        record.number(Column::Act, 2);
        let mut out = Vec::new();
        record.write_typed(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("B.4.0.19.act.1:MGP:u32:2\n"), "{text}");
        assert!(text.contains("B.4.0.32.type.1:CGS:u32:1\n"), "{text}");
    }

    #[test]
    fn octets_are_written_as_they_are_in_every_form() {
        let mut record = Record::new(Kind::Server);
        record.octets(Column::LastAgt, b"");
        record.octets(Column::LastChk, b"\xff \"\\\x1f, \xc3");
        let written = |write: fn(&Record, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&record, &mut out);
            out
        };
        let contains = |out: &[u8], part: &[u8]| memchr::memmem::find(out, part).is_some();
        assert!(contains(&written(Record::write_csv), b",\"\xff \"\"\\\x1f, \xc3\","));
        assert!(contains(&written(Record::write_typed), b"last_chk.1:MOP:str:\xff \"\\\x1f, \xc3\n"));
        assert!(contains(&written(Record::write_json), b"\"value\":\"\xff \\\"\\\\\\u001f, \xc3\"}"));
        assert_eq!(record.get(Column::LastAgt), &Value::Empty);
    }
}
