//! Access lists: named tests on samples, and the words that define them (manual 7.1).

use std::sync::OnceLock;

use super::predefined;
use crate::pattern::{self, Method, Operator, Patterns, Reading};
use crate::proxy::userlist::Userlist;
use crate::sample::fetch::{self, Fetch};
use crate::sample::value::leading_int;
use crate::sample::{Ctx, Expr, Inspection, Places, Scope};
use crate::text::Word;

/// Index of an access list among those of its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclId(u32);

/// The access lists of one proxy, anonymous and predefined ones included.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    list: Vec<Acl>,
    /// Numbers that were given to tests (`-u`).
    ids: Vec<i32>,
}

/// A named list of tests; it matches when one of them does.
#[derive(Clone, Debug)]
pub struct Acl {
    /// Its name; empty for an anonymous one.
    pub name: String,
    tests: Vec<Test>,
}

/// One test: an expression and the patterns that its values are matched against.
#[derive(Clone, Debug)]
struct Test {
    expr: Expr,
    patterns: Patterns,
    /// The criterion's keyword as written, for warnings.
    keyword: String,
    /// The groups of a userlist that it asks for, if it does: none where they are not matched as they are.
    groups: Option<Vec<String>>,
    /// The number that was given to it (`-u`).
    number: Option<i32>,
}

impl Acls {
    /// Adds the test of an `acl` line, whose words after `acl` these are.
    ///
    /// # Errors
    /// HAProxy's words, without the place of the line.
    pub fn define(&mut self, words: &[Word], scope: &mut Scope) -> Result<(), String> {
        let Some((name, rest)) = words.split_first() else {
            return Err("missing fetch method in ACL expression ''.".to_owned());
        };
        let name = name.text.as_str();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
        if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
            return Err(format!("character '{wrong}' is not permitted in acl name '{name}'."));
        }
        if name == "or" {
            return Err(format!(
                "acl name '{name}' will never match. 'or' is used to express a logical disjunction within a condition."
            ));
        }
        warn_of_stray_blank(name, rest, scope);
        let wrong = |e| format!("error detected while parsing ACL '{name}' : {e}.");
        let test = Test::parse(rest, scope).map_err(wrong)?;
        let id = self.named(name).unwrap_or_else(|| self.push(name));
        self.add(id, test).map_err(wrong)
    }

    /// Adds the anonymous list `{ words }`.
    pub(super) fn anonymous(&mut self, words: &[Word], scope: &mut Scope) -> Result<AclId, String> {
        warn_of_stray_blank("", words, scope);
        let test = Test::parse(words, scope)?;
        let id = self.push("");
        self.add(id, test)?;
        Ok(id)
    }

    /// The list of this name, made when it is a predefined one that was not used before.
    pub(super) fn find(&mut self, name: &str, scope: &mut Scope) -> Result<AclId, String> {
        if let Some(id) = self.named(name) {
            return Ok(id);
        }
        let words = predefined::words(name).ok_or_else(|| format!("no such ACL : '{name}'"))?;
        let words: Vec<Word> = words.split(' ').map(Word::from).collect();
        let test = Test::parse(&words, scope)?;
        let id = self.push(name);
        self.add(id, test)?;
        Ok(id)
    }

    fn named(&self, name: &str) -> Option<AclId> {
        let index = self.list.iter().position(|acl| !acl.name.is_empty() && acl.name == name)?;
        Some(AclId(index as u32))
    }

    /// Adds a test to a list, unless its number is taken.
    fn add(&mut self, id: AclId, test: Test) -> Result<(), String> {
        if let Some(number) = test.number {
            if self.ids.contains(&number) {
                return Err("the id is already used".to_owned());
            }
            self.ids.push(number);
        }
        self.list[id.0 as usize].tests.push(test);
        Ok(())
    }

    fn push(&mut self, name: &str) -> AclId {
        self.list.push(Acl { name: name.to_owned(), tests: Vec::new() });
        AclId(self.list.len() as u32 - 1)
    }

    /// Whether the list matches.
    pub fn matches<'a>(&'a self, id: AclId, ctx: &Ctx<'a>) -> bool {
        self.list.get(id.0 as usize).is_some_and(|acl| acl.tests.iter().any(|test| test.matches(ctx)))
    }

    /// The groups that lists ask for and that the userlist of their number does not have, each with the list's name;
    /// no group for lists that ask for none.
    pub fn unknown_groups<'a>(&'a self, lists: &'a [Userlist]) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let unknown = |test: &'a Test| {
            let list = test.expr.userlist().and_then(OnceLock::get).and_then(|index| lists.get(*index as usize));
            let groups = test.groups.as_deref().unwrap_or_default().iter().map(String::as_str);
            let unknown =
                groups.filter(move |group| list.is_some_and(|list| list.groups.iter().all(|known| known != group)));
            let none = test.groups.as_ref().is_some_and(Vec::is_empty).then_some(None);
            unknown.map(Some).chain(none)
        };
        self.list
            .iter()
            .flat_map(move |acl| acl.tests.iter().flat_map(unknown).map(move |group| (acl.name.as_str(), group)))
    }

    /// Whether the list matches; `None` while that depends on what is still to come.
    pub(super) fn verdict<'a>(&'a self, id: AclId, ctx: &Ctx<'a>, inspection: &Inspection) -> Option<bool> {
        let Some(acl) = self.list.get(id.0 as usize) else { return Some(false) };
        let mut open = false;
        for test in &acl.tests {
            inspection.take_open();
            if test.matches(ctx) {
                return Some(true);
            }
            open |= inspection.take_open();
        }
        (!open).then_some(false)
    }

    /// Whether the list looks at raw octets.
    pub(super) fn is_raw(&self, id: AclId) -> bool {
        self.list[id.0 as usize].tests.iter().any(|test| test.expr.needs().is_raw())
    }

    /// What HAProxy warns of when a list can never match at any of `places`.
    pub(super) fn never(&self, id: AclId, places: Places) -> Option<String> {
        let acl = &self.list[id.0 as usize];
        if acl.tests.iter().any(|test| test.works_at(places)) {
            return None;
        }
        let (place, name) = (places.name(), &acl.name);
        Some(if name.is_empty() {
            let keyword = acl.tests.first().map_or("", |test| test.keyword.as_str());
            format!(
                "anonymous acl will never match because it uses keyword '{keyword}' which is incompatible with '{place}'"
            )
        } else {
            format!(
                "acl '{name}' will never match because it only involves keywords that are incompatible with '{place}'"
            )
        })
    }

    /// What HAProxy warns of when some tests of a list can never match at any of `places`.
    pub(super) fn partly(&self, id: AclId, places: Places) -> Option<String> {
        let acl = &self.list[id.0 as usize];
        let test = acl.tests.iter().find(|test| !test.works_at(places))?;
        let (place, name, keyword) = (places.name(), &acl.name, &test.keyword);
        Some(format!("acl '{name}' involves keywords '{keyword}' which is incompatible with '{place}'"))
    }
}

/// The keyword whose patterns are groups of a userlist.
const GROUPS_KEYWORD: &str = "http_auth_group";

/// Keywords that choose a fetch and a matching method together; the manual calls them ACL derivatives.
const FAMILIES: [(&str, &str); 8] = [
    ("base", "base"),
    ("cook", "req.cook"),
    ("hdr", "req.hdr"),
    ("path", "path"),
    ("scook", "res.cook"),
    ("shdr", "res.hdr"),
    ("url", "url"),
    ("urlp", "urlp"),
];

/// The fetch and the method of an ACL's own keyword.
fn acl_keyword(name: &str) -> Option<(&'static Fetch, Method)> {
    let (fetch, method) = match name {
        "method" => ("method", Method::Verb),
        "http_auth_group" => ("http_auth_group", Method::Str),
        "payload" => ("req.payload", Method::Bin),
        "payload_lv" => ("req.payload_lv", Method::Bin),
        "req.ssl_ver" | "req_ssl_ver" => ("req.ssl_ver", Method::Version),
        "req_rdp_cookie" => ("req.rdp_cookie", Method::Str),
        "req_rdp_cookie_cnt" => ("req.rdp_cookie_cnt", Method::Int),
        "req_ssl_sni" => ("req.ssl_sni", Method::Str),
        "req_ver" => ("req.ver", Method::Str),
        "resp_ver" => ("res.ver", Method::Str),
        _ => {
            let (stem, method) = match name.split_once('_') {
                None => (name, Method::Str),
                Some((stem, suffix)) => (stem, derivative(suffix)?),
            };
            (FAMILIES.iter().find(|(family, _)| *family == stem)?.1, method)
        }
    };
    Some((fetch::find(fetch)?, method))
}

/// Suffixes of the derivatives.
const DERIVATIVES: [&str; 7] = ["beg", "dir", "dom", "end", "len", "reg", "sub"];

/// All ACL keywords in alphabetical order, with the fetch and the method that each stands for.
pub fn keywords() -> Vec<(String, &'static str, &'static str)> {
    let mut list = vec![
        ("http_auth_group".to_owned(), "http_auth_group", "str"),
        ("method".to_owned(), "method", "str"),
        ("payload".to_owned(), "req.payload", "bin"),
        ("payload_lv".to_owned(), "req.payload_lv", "bin"),
        ("req.ssl_ver".to_owned(), "req.ssl_ver", "int"),
        ("req_rdp_cookie".to_owned(), "req.rdp_cookie", "str"),
        ("req_rdp_cookie_cnt".to_owned(), "req.rdp_cookie_cnt", "int"),
        ("req_ssl_sni".to_owned(), "req.ssl_sni", "str"),
        ("req_ssl_ver".to_owned(), "req.ssl_ver", "int"),
        ("req_ver".to_owned(), "req.ver", "str"),
        ("resp_ver".to_owned(), "res.ver", "str"),
    ];
    for (family, fetch) in FAMILIES {
        list.push((family.to_owned(), fetch, "str"));
        list.extend(DERIVATIVES.map(|suffix| (format!("{family}_{suffix}"), fetch, suffix)));
    }
    list.sort();
    list
}

fn derivative(suffix: &str) -> Option<Method> {
    if DERIVATIVES.contains(&suffix) { Method::named(suffix) } else { None }
}

/// The words of a criterion as they are read one after the other; past the end they are empty.
struct Reader<'w> {
    words: &'w [Word],
    at: usize,
}

impl<'w> Reader<'w> {
    fn peek(&self) -> &'w str {
        self.words.get(self.at).map_or("", |word| word.text.as_str())
    }

    fn next(&mut self) -> &'w str {
        let word = self.peek();
        self.at += 1;
        word
    }
}

impl Test {
    /// Parses `criterion [flags] [operator] [patterns]`.
    fn parse(words: &[Word], scope: &mut Scope) -> Result<Test, String> {
        let mut reader = Reader { words, at: 0 };
        let criterion = reader.next();
        let end = criterion.find(['(', ',']).unwrap_or(criterion.len());
        let keyword = &criterion[..end];
        let (expr, own_method) = match acl_keyword(keyword) {
            Some((fetch, method)) => {
                let expr = Expr::parse_for(fetch, keyword, &criterion[end..], scope)?;
                let method = if expr.is_converted() { None } else { Some(method) };
                (expr, method)
            }
            None => {
                let purpose = std::mem::take(&mut scope.purpose);
                let parsed = Expr::parse(criterion, scope);
                scope.purpose = purpose;
                (parsed.map_err(|e| format!("{e} in ACL expression '{criterion}'"))?, None)
            }
        };
        let method = own_method.or_else(|| Method::usual(expr.output()));
        let flags = Flags::read(&mut reader, method, &expr, keyword)?;
        let number = flags.number;
        // What stands in files is not looked at.
        let asks = keyword == GROUPS_KEYWORD && expr.userlist().is_some() && flags.files.is_empty();
        let groups = asks.then(|| {
            let as_they_are = !expr.is_converted() && !words.iter().any(|word| word.text == "-m");
            let groups = words.get(reader.at..).filter(|_| as_they_are).unwrap_or_default();
            groups.iter().map(|word| word.text.clone()).collect()
        });
        let patterns = flags.patterns(&mut reader, &expr)?;
        let bare = words.get(1).is_none_or(|word| word.text.is_empty());
        if bare && !matches!(patterns.method(), Method::Found | Method::Bool) {
            scope.general_warnings.push(no_patterns(criterion));
        }
        Ok(Test { expr, patterns, keyword: keyword.to_owned(), groups, number })
    }

    fn matches<'a>(&'a self, ctx: &Ctx<'a>) -> bool {
        self.expr.any(ctx, |value| self.patterns.matches(value))
    }

    fn works_at(&self, places: Places) -> bool {
        !self.expr.needs().places().intersection(places).is_empty()
    }
}

/// Warns of arguments that a blank has made a pattern.
fn warn_of_stray_blank(name: &str, words: &[Word], scope: &mut Scope) {
    if let [criterion, next, ..] = words
        && next.text.starts_with('(')
    {
        scope.general_warnings.push(stray_blank(name, &criterion.text, &next.text));
    }
}

fn stray_blank(name: &str, criterion: &str, pattern: &str) -> String {
    format!(
        "parsing acl '{name}' :\n  \
         matching '{criterion}' for pattern '{pattern}' is likely a mistake and probably\n  \
         not what you want. Maybe you need to remove the extraneous space before '('.\n  \
         If you are really sure this is not an error, please insert '--' between the\n  \
         match and the pattern to make this warning message disappear."
    )
}

fn no_patterns(criterion: &str) -> String {
    format!(
        "parsing acl keyword '{criterion}' :\n  \
         no pattern to match against were provided, so this ACL will never match.\n  \
         If this is what you intended, please add '--' to get rid of this warning.\n  \
         If you intended to match only for existence, please use '-m found'.\n  \
         If you wanted to force an int to match as a bool, please use '-m bool'.\n"
    )
}

/// What the flags of a test said.
struct Flags {
    method: Option<Method>,
    reading: Reading,
    /// `-u`
    number: Option<i32>,
    /// Files with the flags that held when they were named.
    files: Vec<(String, Reading)>,
}

impl Flags {
    fn read(reader: &mut Reader<'_>, method: Option<Method>, expr: &Expr, keyword: &str) -> Result<Flags, String> {
        let reading = Reading { resolve: true, ..Reading::default() };
        let mut flags = Flags { method, reading, number: None, files: Vec::new() };
        while reader.peek().starts_with('-') {
            match reader.next() {
                "--" => break,
                "-i" => flags.reading.ignore_case = true,
                "-n" => flags.reading.resolve = false,
                "-u" => {
                    let id = reader.next();
                    let digits = id.strip_prefix(['-', '+']).unwrap_or(id);
                    if !digits.bytes().all(|c| c.is_ascii_digit()) {
                        return Err("the argument of -u must be an integer".to_owned());
                    }
                    flags.number = (!id.is_empty()).then(|| leading_int(id.as_bytes()) as i32);
                }
                "-f" => flags.files.push((reader.next().to_owned(), flags.reading)),
                "-m" => {
                    if !flags.files.is_empty() {
                        return Err("'-m' must only be specified before patterns and files in parsing ACL expression"
                            .to_owned());
                    }
                    let name = reader.next();
                    let method = Method::named(name)
                        .ok_or_else(|| format!("unknown matching method '{name}' when parsing ACL expression"))?;
                    if !expr.output().casts_to(method.input()) {
                        return Err(format!("matching method '{name}' cannot be used with fetch keyword '{keyword}'"));
                    }
                    flags.method = Some(method);
                }
                "-M" => flags.reading.keys_only = true,
                other => {
                    return Err(format!(
                        "'{other}' is not a valid ACL option. Please use '--' before any pattern beginning with a '-'"
                    ));
                }
            }
        }
        Ok(flags)
    }

    fn patterns(self, reader: &mut Reader<'_>, expr: &Expr) -> Result<Patterns, String> {
        let method = self.method.ok_or_else(|| {
            format!(
                "matching method must be specified first (using '-m') when using a sample fetch of this type ('{}')",
                expr.keyword()
            )
        })?;
        let mut patterns = Patterns::new(method);
        for (file, reading) in &self.files {
            pattern::load(file, *reading, &mut patterns)?;
        }
        let mut reading = self.reading;
        while !reader.peek().is_empty() {
            let bytes = reader.words[reader.at].bytes();
            let word = reader.next();
            match Operator::named(word).filter(|_| method.takes_operators()) {
                Some(operator) => reading.operator = operator,
                None => patterns.add(bytes, reading)?,
            }
        }
        patterns.finish();
        Ok(patterns)
    }
}
