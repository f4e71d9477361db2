//! `authorization` and `accounts`: users, passwords, permissions.
//!
//! There are two accounts: an ordinary one and the system account. Users of `authorization` are in the
//! ordinary account, `$G`; a file may name another one instead.

use super::value::{Field, Value};
use super::{ConfigFileError, Place};
use crate::auth::{Auth, Permissions, ResponseRule, SubjectRules, User};
use crate::config::ServerOptions;

/// What the file says about who may connect, gathered over several keys.
#[derive(Debug, Default)]
pub(super) struct AuthReader {
    auth: Auth,
    /// Names of users, to find one that comes twice.
    names: Vec<String>,
    /// Where users of `$G` and of a named ordinary account were first seen.
    global_users: Option<Place>,
    ordinary: Option<(String, Place)>,
    has_token: bool,
}

impl AuthReader {
    /// `authorization { ... }`.
    pub(super) fn authorization(&mut self, block: &Field) -> Result<(), ConfigFileError> {
        let (mut user, mut password) = (None, String::new());
        let (mut users, mut defaults) = (None, None);
        for field in block.map()? {
            match field.name().as_str() {
                "user" | "username" => user = Some(field.text()?),
                "pass" | "password" => password = field.text()?,
                "token" => {
                    self.auth = std::mem::take(&mut self.auth).token(field.text()?);
                    self.has_token = true;
                }
                "timeout" => {
                    self.auth = std::mem::take(&mut self.auth).timeout(field.duration()?);
                }
                "users" => users = Some(field),
                "default_permission" | "default_permissions" | "permissions" => {
                    defaults = Some(permissions(field)?);
                }
                "auth_callout" | "proxy_required" => return Err(field.unsupported()),
                _ => field.check_unknown()?,
            }
        }
        if self.has_token && users.is_some() {
            return Err(block.place.error("Can not have a token and a users array"));
        }
        if let Some(name) = user {
            if users.is_some() {
                let text = "Can not have a single user/pass and a users array";
                return Err(block.place.error(text));
            }
            self.global_users.get_or_insert_with(|| block.place.clone());
            self.add(User::new(name, password), &block.place)?;
        }
        if let Some(users) = users {
            self.global_users.get_or_insert_with(|| users.place.clone());
            self.users(users, defaults.as_ref(), false)?;
        }
        Ok(())
    }

    /// `accounts { A { users: [...] } }`. `system` is the name of the system account.
    pub(super) fn accounts(
        &mut self,
        block: &Field,
        system: &str,
        options: &mut ServerOptions,
    ) -> Result<(), ConfigFileError> {
        for account in block.map()? {
            let is_system = account.key == system;
            if !is_system {
                if let Some((first, _)) = &self.ordinary {
                    let text = format!(
                        "several ordinary accounts ({first:?}, {:?}) are not supported; the page \
                         \"NATS compatibility\" of the book lists what is",
                        account.key
                    );
                    return Err(account.place.error(text));
                }
                self.ordinary = Some((account.key.clone(), account.place.clone()));
                options.ordinary_account.clone_from(&account.key);
                // As in nats-server, streams are a matter of each account.
                options.account_has_jetstream = false;
            }
            self.account(account, is_system, options)?;
        }
        Ok(())
    }

    fn account(
        &mut self,
        account: &Field,
        is_system: bool,
        options: &mut ServerOptions,
    ) -> Result<(), ConfigFileError> {
        let fields = account.map()?;
        let mut defaults = None;
        for field in fields {
            if field.name() == "default_permissions" {
                defaults = Some(permissions(field)?);
            }
        }
        for field in fields {
            match field.name().as_str() {
                "users" => self.users(field, defaults.as_ref(), is_system)?,
                "default_permissions" => {}
                "jetstream" if !is_system => {
                    super::jetstream::read_account(field, options)?;
                }
                "jetstream" | "nkey" | "imports" | "exports" | "mappings" | "maps" | "limits"
                | "msg_trace" | "trace_dest" => return Err(field.unsupported()),
                _ => field.check_unknown()?,
            }
        }
        Ok(())
    }

    fn users(
        &mut self,
        users: &Field,
        defaults: Option<&Permissions>,
        is_system: bool,
    ) -> Result<(), ConfigFileError> {
        for member in users.list() {
            let mut user = read_user(&member, defaults)?;
            if is_system {
                user = user.system();
            }
            self.add(user, &member.place)?;
        }
        Ok(())
    }

    fn add(&mut self, user: User, place: &Place) -> Result<(), ConfigFileError> {
        let name = user.name().to_owned();
        if self.names.contains(&name) {
            return Err(place.error(format!("Duplicate user {name:?} detected")));
        }
        self.names.push(name);
        self.auth = std::mem::take(&mut self.auth).user(user);
        Ok(())
    }

    /// Gives the rules out.
    pub(super) fn finish(self, no_auth_user: Option<&Field>) -> Result<Auth, ConfigFileError> {
        if let (Some(_), Some((name, place))) = (&self.global_users, &self.ordinary) {
            let text = format!(
                "users of `authorization` and of account {name:?} would be in different accounts, \
                 which is not supported; the page \"NATS compatibility\" of the book lists what is"
            );
            return Err(place.error(text));
        }
        let Some(field) = no_auth_user else {
            return Ok(self.auth);
        };
        let name = field.text()?;
        if !self.names.contains(&name) {
            let text = format!("no_auth_user: there is no user {name:?}");
            return Err(field.place.error(text));
        }
        Ok(self.auth.no_auth_user(name))
    }
}

fn read_user(member: &Field, defaults: Option<&Permissions>) -> Result<User, ConfigFileError> {
    let (mut name, mut password) = (None, String::new());
    let mut granted = defaults.cloned();
    let mut may_use_tcp = true;
    for field in member.map()? {
        match field.name().as_str() {
            "user" | "username" => name = Some(field.text()?),
            "pass" | "password" => password = field.text()?,
            "permission" | "permissions" | "authorization" => granted = Some(permissions(field)?),
            "allowed_connection_types" | "connection_types" | "clients" => {
                let mut types = Vec::new();
                for kind in field.list() {
                    types.push(kind.text()?.to_ascii_uppercase());
                }
                may_use_tcp = types.iter().any(|kind| kind == "STANDARD");
            }
            "nkey" | "proxy_required" => return Err(field.unsupported()),
            _ => field.check_unknown()?,
        }
    }
    let name = name.ok_or_else(|| member.place.error("User entry requires a user"))?;
    let mut user = User::new(name, password);
    if let Some(granted) = granted {
        user = user.permissions(granted);
    }
    if !may_use_tcp {
        user = user.without_tcp();
    }
    Ok(user)
}

fn permissions(block: &Field) -> Result<Permissions, ConfigFileError> {
    let (mut publish, mut subscribe) = (SubjectRules::new(), SubjectRules::new());
    let mut responses = None;
    for field in block.map()? {
        match field.name().as_str() {
            "pub" | "publish" | "import" => publish = rules(field)?,
            "sub" | "subscribe" | "export" => subscribe = rules(field)?,
            "publish_allow_responses" | "allow_responses" => responses = response_rule(field)?,
            _ => {
                let text = format!("Unknown field {:?} parsing permissions", field.key);
                return Err(field.place.error(text));
            }
        }
    }
    let permissions = Permissions::new().with_rules(publish, subscribe);
    Ok(match responses {
        Some(rule) => permissions.allow_responses(rule),
        None => permissions,
    })
}

/// A subject, a list of them, or `{ allow: ..., deny: ... }`.
fn rules(field: &Field) -> Result<SubjectRules, ConfigFileError> {
    let mut rules = SubjectRules::new();
    let wrong = |error: crate::Error| field.place.error(error.to_string());
    let Value::Map(fields) = &field.entry.value else {
        rules.allow(subjects(field)?).map_err(wrong)?;
        return Ok(rules);
    };
    for field in fields {
        match field.name().as_str() {
            "allow" => rules.allow(subjects(field)?).map_err(wrong)?,
            "deny" => rules.deny(subjects(field)?).map_err(wrong)?,
            _ => {
                let text = format!(
                    "Unknown field name {:?} parsing subject permissions",
                    field.key
                );
                return Err(field.place.error(text));
            }
        }
    }
    Ok(rules)
}

fn subjects(field: &Field) -> Result<Vec<String>, ConfigFileError> {
    field.list().iter().map(Field::text).collect()
}

/// `true`, or `{ max: 5, expires: "1m" }`.
fn response_rule(field: &Field) -> Result<Option<ResponseRule>, ConfigFileError> {
    let mut rule = ResponseRule::default();
    if let Value::Bool(on) = field.entry.value {
        return Ok(on.then_some(rule));
    }
    for field in field.map()? {
        match field.name().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => match field.integer()? {
                0 => {}
                max => rule.messages_max = u32::try_from(max).ok(),
            },
            "expires" | "expiration" | "ttl" => match field.entry.value {
                Value::Integer(time) if time < 0 => rule.expires = None,
                _ => rule.expires = Some(field.duration()?),
            },
            _ => {
                let text = format!("Unknown field {:?} parsing permissions", field.key);
                return Err(field.place.error(text));
            }
        }
    }
    Ok(Some(rule))
}
