//! `userlist` sections (section 3.4).

use super::draft::Draft;
use super::finding::{Findings, Place};
use super::scope::{Scope, Section, arg, no_more_than};
use super::unit::invalid_char;
use super::word::Word;
use crate::proxy::userlist::{Crypted, Password, User, Userlist};
use crate::registry::{Keyword, Sections, row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("group", Sections::USERLIST, group, "a group of users"),
    row("user", Sections::USERLIST, user, "a user with a password"),
];

/// A `userlist` as it was written.
#[derive(Debug, Default)]
pub struct UserlistDraft {
    /// Its name.
    pub name: String,
    /// Users, with the groups that their own lines name.
    users: Vec<User>,
    /// Groups, with the users that their lines name.
    groups: Vec<(String, Vec<String>)>,
}

/// Opens a section; the lines of a second one of the same name belong to the first.
///
/// # Errors
/// It has no name, or a bad one.
pub fn open(scope: &mut Scope<'_>, words: &[Word]) -> Result<Section, String> {
    let name = arg(words, 1);
    if name.is_empty() {
        scope.place = Place::Reader;
        return Err("'userlist' expects <name> as arguments.".into());
    }
    no_more_than(words, 2, 0, "userlist")?;
    scope.place = Place::Reader;
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in 'userlist' name '{name}'."));
    }
    if let Some(index) = scope.draft.userlists.iter().position(|list| list.name == name) {
        scope.warn(format!("ignoring duplicated userlist '{name}'."));
        return Ok(Section::Userlist(index));
    }
    scope.draft.userlists.push(UserlistDraft { name: name.to_owned(), ..UserlistDraft::default() });
    Ok(Section::Userlist(scope.draft.userlists.len() - 1))
}

/// Rows are dispatched by section: there is one.
fn current<'a>(scope: &'a mut Scope<'_>) -> Option<&'a mut UserlistDraft> {
    match scope.section {
        Section::Userlist(index) => scope.draft.userlists.get_mut(index),
        _ => None,
    }
}

fn group(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.place = Place::Reader;
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'group' expects <name> as arguments.".into());
    }
    if let Some(c) = invalid_char(name) {
        return Err(format!("character '{c}' is not permitted in 'group' name '{name}'."));
    }
    let Some(list) = current(scope) else { return Ok(()) };
    if list.groups.iter().any(|(known, _)| known == name) {
        let text = format!("ignoring duplicated group '{name}' in userlist '{}'.", list.name);
        scope.warn(text);
        return Ok(());
    }
    let mut users = Vec::new();
    let mut at = 2;
    while !arg(words, at).is_empty() {
        if arg(words, at) != "users" {
            return Err("'group' only supports 'users' option.".into());
        }
        users = names(arg(words, at + 1));
        at += 2;
    }
    list.groups.push((name.to_owned(), users));
    Ok(())
}

fn user(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.place = Place::Reader;
    let name = arg(words, 1);
    if name.is_empty() {
        return Err("'user' expects <name> as arguments.".into());
    }
    let Some(list) = current(scope) else { return Ok(()) };
    if list.users.iter().any(|user| user.name == name) {
        let text = format!("ignoring duplicated user '{name}' in userlist '{}'.", list.name);
        scope.warn(text);
        return Ok(());
    }
    let mut user = User { name: name.to_owned(), password: Password::Missing, groups: Vec::new() };
    let mut at = 2;
    while !arg(words, at).is_empty() {
        let value = arg(words, at + 1);
        match arg(words, at) {
            "password" => user.password = Password::Crypted(Crypted::new(value.to_owned())),
            "insecure-password" => user.password = Password::Clear(value.to_owned()),
            "groups" => user.groups = names(value),
            _ => {
                scope.point_at(&words[at]);
                return Err("'user' only supports 'password', 'insecure-password' and 'groups' options.".into());
            }
        }
        at += 2;
    }
    list.users.push(user);
    Ok(())
}

fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// All lists, users and groups joined from both sides.
pub(super) fn resolve(draft: &Draft, findings: &mut Findings) -> Vec<Userlist> {
    draft.userlists.iter().map(|list| join(list, findings)).collect()
}

fn join(draft: &UserlistDraft, findings: &mut Findings) -> Userlist {
    let list = &draft.name;
    let mut users = draft.users.clone();
    for user in &users {
        if let Some(group) = user.groups.iter().find(|name| draft.groups.iter().all(|(known, _)| known != *name)) {
            let user = &user.name;
            findings.alert(format!("userlist '{list}': no such group '{group}' specified in user '{user}'"));
            return Userlist::default();
        }
    }
    for (group, members) in &draft.groups {
        for name in members {
            match users.iter_mut().find(|user| user.name == *name) {
                Some(user) => user.groups.push(group.clone()),
                None => {
                    findings.alert(format!("userlist '{list}': no such user '{name}' specified in group '{group}'"));
                    return Userlist::default();
                }
            }
        }
    }
    let groups = draft.groups.iter().map(|(name, _)| name.clone()).collect();
    Userlist { name: list.clone(), users, groups }
}
